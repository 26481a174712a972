"""Values of label maps as mmsegmentation reads them: 8 bits, a reduced zero, a map of labels."""
from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from ..common.file_facts import Facts
from ..common.task_checks import DataError

_ONE_NUMBER = ('1', 'L', 'P', 'I', 'F')  # Pillow's modes of one number a pixel, without what follows a semicolon
_LOSSY = ('JPEG', 'MPO')


class LabelError(DataError):
    """A label map holds something else than labels of the model."""


class LabelRule(NamedTuple):
    """Labels of a model.

    Attributes:
        num_classes: Labels are 0 to num_classes - 1; None if the model does not tell.
        ignored: Labels of pixels that belong to no class.
        classes: Their names, for messages.
    """
    num_classes: int | None = None
    ignored: Collection[int] = (255, )
    classes: Sequence[str] = ()


def labels_of(path: str, facts: Facts, info: Mapping[str, Any], rule: LabelRule) -> list[int]:
    """Labels that a map gives to its pixels, without the ignored ones.

    Args:
        path: The file of the map, for messages.
        facts: What the file says, with its values.
        info: ``reduce_zero_label`` and ``label_map`` of a dataset of mmsegmentation.
        rule: The labels that the model has.

    Raises:
        LabelError: The map is a picture in colour or a JPEG, or holds a value that is no label.
    """
    if facts.mode.partition(';')[0] not in _ONE_NUMBER:
        raise LabelError(
            f'{path} is a colour picture (mode {facts.mode}), and a label map holds one class id for each pixel: turn '
            'each colour into its id (ids[(picture == colour).all(-1)] = id) and save '
            "PIL.Image.fromarray(ids.astype('uint8')) as PNG; if its channels are equal, convert('L') does")
    if facts.format in _LOSSY:
        raise LabelError(f'{path} is a JPEG, whose compression changes labels at the edges: save label maps as PNG')
    found = []
    for value in facts.values or ():
        label = _as_read(path, value, info)
        if label in rule.ignored:
            continue
        if rule.num_classes is not None and not 0 <= label < rule.num_classes:
            raise LabelError(_unknown(path, value, label, rule))
        found.append(label)
    return sorted(set(found))


def _as_read(path: str, value: float, info: Mapping[str, Any]) -> int:
    if not math.isfinite(value) or value != int(value):
        raise LabelError(f'{path} holds {value:g}, which is no whole number: save class ids as an 8-bit PNG')
    label = int(value) & 255
    if value != label and label != 255:  # -1 and 65535 are void in 8 bits, too
        raise LabelError(f'{path} holds label {value:g}, which mmsegmentation reads in 8 bits, as {label}: number the '
                         'classes from 0 to 254 and save an 8-bit PNG')
    if info.get('reduce_zero_label'):
        label = 255 if label in (0, 255) else label - 1
    return (info.get('label_map') or {}).get(label, label)


def _unknown(path: str, value: float, label: int, rule: LabelRule) -> str:
    read = f', which is read as {label},' if label != value else ''
    ignored = ' or '.join(str(label) for label in sorted(rule.ignored))
    return (f'{path} holds label {value:g}{read} but the model has classes 0 to {rule.num_classes - 1} and '
            f'ignore_index={ignored}: correct the labels, map them in the dataset, or set num_classes')


def check_two_values(values: Collection[float], rule: LabelRule, name: str) -> None:
    """See that the masks of two classes are not black and white pictures, 0 and 255, in which white is ignored.

    Args:
        values: All that the label maps of a split hold.
        rule: The labels that the model has.
        name: The name of the split, for messages.

    Raises:
        LabelError: They are.
    """
    if set(values) == {0, 255} and rule.num_classes == 2 and 255 in rule.ignored:
        second = f'class 1 ({rule.classes[1]})' if len(rule.classes) == 2 else 'class 1'
        raise LabelError(f'the label maps of the {name} data hold only 0 and 255, and 255 is ignored, so that {second} '
                         'never occurs: write 1 in the place of 255 (labels[labels == 255] = 1)')
