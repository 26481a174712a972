"""What segmentation sees to in its data before a run: label maps, pictures of segments, classes that are stuff."""
from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmseg.datasets import BaseSegDataset
from mmseg.datasets.transforms import LoadAnnotations
from mmseg.evaluation import IoUMetric
from torch import nn

from ...models.segmentation.targets import check_labels
from ...registry import DATASETS
from ..common.checks import ClassesError, classes_of
from ..common.coco_json import AnnotationError, EmptyDatasetError, stuff_labels
from ..common.file_facts import Facts, FactsMemory
from ..common.locate import HELP, MissingDataError
from ..common.survey import Survey, leaves
from ..common.task_checks import Labels, Picture, TaskChecks
from .label_maps import LabelRule, check_two_values, labels_of
from .panoptic import VOID

_PICTURES = ('.bmp', '.gif', '.heic', '.jpeg', '.jpg', '.jp2', '.png', '.ppm', '.tif', '.tiff', '.webp')


class SegmentationChecks(TaskChecks):
    """Semantic, instance and panoptic segmentation; instances in COCO's form are looked at for all tasks.

    Args:
        rule: The labels that the model has.
        stuff_classes: Labels that a panoptic model does not count; None for other models.
        num_classes: The number of classes of a model of ours, whose training samples are looked at.
        metrics: Metrics of the split's evaluator.
    """

    def __init__(self, rule: LabelRule, stuff_classes: Collection[int] | None = None,
                 num_classes: int | None = None, metrics: Sequence[Any] = ()) -> None:
        self.rule, self.stuff_classes, self.num_classes = rule, stuff_classes, num_classes
        self.ious = [metric for metric in metrics if isinstance(metric, IoUMetric)]

    @classmethod
    def of(cls, model: nn.Module, dataset: Any, metrics: Sequence[Any]) -> SegmentationChecks:
        ignored = [ignore_index_of(model), *(each.ignore_index for each in metrics if hasattr(each, 'ignore_index'))]
        classes = (getattr(dataset, 'metainfo', None) or {}).get('classes') or ()
        stuff = model.stuff_classes if getattr(model, 'task', None) == 'panoptic' else None
        rule = LabelRule(classes_of(model)[0], dict.fromkeys(ignored), classes)
        return cls(rule, stuff, getattr(model, 'num_classes', None), metrics)

    @staticmethod
    def check_config(dataset: Mapping[str, Any], key: str) -> None:
        """See that a dataset of mmsegmentation finds images.

        Raises:
            EmptyDatasetError: It finds none; the message says whether its list is empty, the files have another suffix
                or the folder has no images.
        """
        kind = dataset.get('type')
        kind = DATASETS.get(kind) if isinstance(kind, str) else kind  # configs may hold the class
        if not (isinstance(kind, type) and issubclass(kind, BaseSegDataset)):
            return
        try:
            built = DATASETS.build(dict(dataset, pipeline=[], lazy_init=True))
        except TypeError:  # a class from outside that takes other arguments: it speaks for itself when built
            return
        if not built.load_data_list():
            raise EmptyDatasetError(_why_empty(built, key))

    def check_dataset(self, dataset: Any, name: str) -> None:
        """Compare a panoptic model's uncounted classes with those of a dataset that tells (``isthing``).

        Raises:
            ClassesError: They differ.
        """
        metainfo = getattr(dataset, 'metainfo', None) or {}
        if self.stuff_classes is None or 'isthing' not in metainfo:
            return
        stuff = stuff_labels(metainfo)
        for label in sorted(set(stuff) ^ set(self.stuff_classes)):
            if label < len(metainfo['classes']):
                kinds = ('stuff', 'a thing') if label in stuff else ('a thing', 'stuff')
                raise ClassesError(f"class {label} ({metainfo['classes'][label]}) of the {name} data is {kinds[0]}, "
                                   f'but {kinds[1]} in the model: set model.stuff_classes={stuff}')

    def look(self, leaf: Any, picture: Picture, memory: FactsMemory) -> Labels | None:
        info, path = picture.info, picture.info.get('seg_map_path')
        if 'segments_info' in info:
            if info['segments_info'] is None or path is None:  # a file of images alone
                return Labels([])
            facts = memory.facts(path, 'segments')
            picture.require_size(facts.height, facts.width, f'{path} has')
            return Labels(_segments(info, facts))
        if not path or '://' in path or not _reads_8_bits(leaf):
            return None
        facts = memory.facts(path, 'labels')
        picture.require_size(facts.height, facts.width, f'its label map {path} has')
        return Labels(labels_of(path, facts, info, self.rule), facts.values or ())

    def check_survey(self, found: Survey, dataset: Any, name: str) -> None:
        """See that label maps have labels.

        Raises:
            LabelError: The masks of two classes are black and white, and white is ignored.
            EmptyDatasetError: All pixels are ignored.
        """
        if not found.values or name == 'test':
            return
        if not any(getattr(leaf, 'label_map', None) or getattr(leaf, 'reduce_zero_label', False)
                   for leaf in leaves(dataset)):
            check_two_values(found.values, self.rule, name)
        if not found.classes:
            raise EmptyDatasetError(
                f'no pixel of the {found.looked_at} label maps of the {name} data belongs to a class: they hold only '
                f'{", ".join(f"{value:g}" for value in sorted(found.values))}, which is ignored: write class ids from '
                f'0 on, or correct the label_map or reduce_zero_label of {name}_dataloader.dataset')

    def check_loaded(self, dataset: Any, name: str) -> None:
        """See that what mmsegmentation's metric compares predictions with is loaded.

        Raises:
            ClassesError: The dataset does not name its classes.
            MissingDataError: There are no label maps, or the pipeline does not load them.
        """
        if self.ious and not (getattr(dataset, 'metainfo', None) or {}).get('classes'):
            raise ClassesError(f'the {name} data has no names of classes, which IoUMetric needs: set {name}_dataloader.'
                               "dataset.metainfo=dict(classes=['first', 'second', ...])")
        if all(metric.format_only for metric in self.ious):
            return
        remedy = (f'or only write predictions: {name}_evaluator.format_only=True with an output_dir, and no '
                  'LoadAnnotations in the pipeline')
        for leaf in leaves(dataset):
            if not leaf.get_data_info(0).get('seg_map_path'):
                raise MissingDataError(
                    f'the {name} data has no label maps, which IoUMetric compares predictions with: name their folder '
                    f'in {name}_dataloader.dataset.data_prefix.seg_map_path, {remedy}')
        samples = dataset[0]['data_samples']
        if 'gt_sem_seg' not in (samples[0] if isinstance(samples, list) else samples):
            raise MissingDataError(f'the pipeline of the {name} data loads no label maps, which IoUMetric compares '
                                   f"predictions with: add dict(type='mmseg.LoadAnnotations') behind the resize, "
                                   f'{remedy}')

    def check_sample(self, sample: Mapping[str, Any]) -> None:
        """See that a label map is one of classes of the model.

        Raises:
            ValueError: A label is none.
        """
        data_sample = sample.get('data_samples') if isinstance(sample, dict) else None
        if data_sample is None or 'gt_sem_seg' not in data_sample or self.num_classes is None:
            return
        where = data_sample.get('seg_map_path', None) or data_sample.get('img_path', 'a label map')
        semantic = data_sample.gt_sem_seg  # mmdetection calls the map sem_seg, mmsegmentation data
        labels = semantic.sem_seg if 'sem_seg' in semantic else semantic.data
        check_labels(labels.unique(), self.num_classes, next(iter(self.rule.ignored)), where)  # the model's own

    def notes(self, dataset: Any) -> list[str]:
        return [*_left_out_notes(dataset)]


def ignore_index_of(model: nn.Module) -> int:
    """The label that a model, or the head of a stock one, does not learn from."""
    head = getattr(model, 'decode_head', None)
    if isinstance(head, nn.ModuleList):  # the stages of a cascade, the last of which is the answer
        head = head[-1]
    return getattr(model, 'ignore_index', getattr(head, 'ignore_index', 255))


def left_out(dataset: Any) -> Counter[str]:
    """Suffixes of pictures in the folder of a dataset of mmsegmentation that it does not read for their suffix."""
    found: Counter[str] = Counter()
    if not isinstance(dataset, BaseSegDataset) or os.path.isfile(dataset.ann_file):
        return found
    folder, labels = (dataset.data_prefix.get(name) for name in ('img_path', 'seg_map_path'))
    if not folder or not os.path.isdir(folder):
        return found
    shared = bool(labels) and Path(folder).resolve() in (Path(labels).resolve(), *Path(labels).resolve().parents)
    for path in Path(folder).rglob('*'):
        is_label = shared and path.name.endswith(dataset.seg_map_suffix)
        if path.suffix.lower() in _PICTURES and not path.name.endswith(dataset.img_suffix) and not is_label:
            found[path.suffix] += 1
    return found


def _why_empty(dataset: BaseSegDataset, key: str) -> str:
    if os.path.isfile(dataset.ann_file):
        return (f'{dataset.ann_file} has no line, and {key} takes the names of its images from it: write one a line, '
                f"without the suffix, or set {key}.ann_file='' to take all images of the folder")
    folder, suffix = dataset.data_prefix.get('img_path'), dataset.img_suffix
    if others := left_out(dataset):
        found = ', '.join(f"{count} in '{other}'" for other, count in others.most_common())
        return (f"no image of {folder} ends in '{suffix}', but {found}: set {key}.img_suffix="
                f"'{others.most_common(1)[0][0]}'")
    return f'{folder} has no image: put some into it, or correct {key}.data_root and data_prefix; {HELP}'


def _left_out_notes(dataset: Any) -> Iterator[str]:
    for leaf in leaves(dataset):
        if others := left_out(leaf):
            found = ', '.join(f'{count} {suffix}' for suffix, count in others.most_common())
            yield (f"pictures of {leaf.data_prefix['img_path']} that do not end in '{leaf.img_suffix}' are left out "
                   f'({found}): rename them, or read them as a second dataset of a mmengine.ConcatDataset, with '
                   f"img_suffix='{others.most_common(1)[0][0]}'")


def _reads_8_bits(leaf: Any) -> bool:
    """Whether label maps are read by mmsegmentation's transform; what another makes of them is not known."""
    return 'reduce_zero_label' in (getattr(leaf, 'metainfo', None) or {}) and any(
        isinstance(each, LoadAnnotations) and type(each)._load_seg_map is LoadAnnotations._load_seg_map
        for each in _transforms(getattr(leaf, 'pipeline', None)))


def _transforms(pipeline: Any) -> Iterator[Any]:
    """All of a pipeline, those of its loops and branches too."""
    for each in [*getattr(pipeline, 'transforms', ()), *getattr(pipeline, 'subroutines', ())]:
        yield each
        yield from _transforms(each)


def _segments(info: Mapping[str, Any], facts: Facts) -> list[int]:
    path, segments = info['seg_map_path'], info['segments_info']
    if facts.mode not in ('RGB', 'RGBA'):
        raise AnnotationError(f'{path} is no RGB picture: panoptic PNG files write segment ids as colours, red + 256 * '
                              'green + 65536 * blue')
    present = set(facts.values)
    unlisted = present - {VOID, *(segment['id'] for segment in segments)}
    if unlisted and 'instances' not in info:  # mmdetection leaves thin segments out of its list, and makes them void
        raise AnnotationError(f'{path} has pixels of segment {min(unlisted)}, which its annotation does not list: add '
                              'it there, or write the PNG anew')
    return [*{segment['category'] for segment in segments
              if segment['id'] in present and segment.get('category') is not None and not segment.get('iscrowd')}]
