"""A folder of one's own data in the place of a config's data set.

A task reads folders in ``datasets/<task>/folder.py``, whose ``READERS`` are found from here, so that a new task adds
its own file and changes no other: ``READERS = {'mmseg.BaseSegDataset': MaskFolder()}`` reads folders for all configs
whose dataset is of that class or derives from it.
"""
from __future__ import annotations

import hashlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from textwrap import wrap
from typing import Any

from mmengine.registry import DATASETS, DefaultScope

from ...files import write_atomic
from .locate import SPLITS, MissingDataError, datasets_of

SPLIT_NAMES = dict(train=('train', 'training'), val=('val', 'valid', 'validation'), test=('test', 'testing'))
IMAGE_SUFFIXES = ('.bmp', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp')
HASHED = 'about a tenth for validation, by a hash of the file names'
_TENTH = 10  # of the images are for validation, where the folder does not say which
_WEIGHTS = ('class_weight', 'class_weights')  # of losses, a number for each class


class FolderError(ValueError):
    """A folder cannot be used in the place of a config's data; the message says what to change."""


@dataclass(frozen=True)
class FolderFacts:
    """What a folder holds.

    Attributes:
        layout: How its files lie, in a few words.
        datasets: By split, what its reader puts into the config of the dataset; ``'train'`` and ``'val'`` are there.
        counts: By split, the number of images.
        division: Where the split into training and validation comes from.
        classes: Names by label; empty for tasks that have none.
        palette: RGB colours by label; empty where the folder has none.
        notes: What else the user should know, a line each.
        files: What is to be written for the datasets, by name; nothing is written into the folder itself.
        loading: What the reader's ``pipeline`` needs to know.
        ids: The folder's own number of each class, by label; empty where it has none.
    """
    layout: str
    datasets: Mapping[str, dict[str, Any]]
    counts: Mapping[str, int]
    division: str
    classes: tuple[str, ...] = ()
    palette: Sequence[Sequence[int]] = ()
    notes: Sequence[str] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)
    loading: Mapping[str, Any] = field(default_factory=dict)
    ids: Sequence[Any] = ()

    def lines(self, folder: Path) -> list[str]:
        """What is to be said before a run."""
        counts = ', '.join(f'{self.counts[split]} {name}' for split, name in (
            ('train', 'to learn from'), ('val', 'to validate on'), ('test', 'to test on')) if split in self.counts)
        lines = [f'data: {folder} ({self.layout})', f'  images: {counts}; {self.division}']
        if self.classes:
            shown = ', '.join(self.classes[:12]) + (', ...' if len(self.classes) > 12 else '')
            lines.append(f'  classes: {len(self.classes)} ({shown})')
        if self.ids:
            lines += wrap(f'ids of the folder -> of the model: {self._id_map()}', 110, initial_indent='  ',
                          subsequent_indent='    ', break_on_hyphens=False)
        return lines + [f'  note: {note}' for note in self.notes]

    def _id_map(self) -> str:
        """Ids with their labels and names; those that follow each other are written together."""
        runs: list[list[int]] = []  # of labels
        for label, number in enumerate(self.ids):
            if runs and isinstance(number, int) and self.ids[runs[-1][-1]] == number - 1:
                runs[-1].append(label)
            else:
                runs.append([label])
        return ', '.join(
            f'{self.ids[run[0]]} -> {run[0]} ({self.classes[run[0]]})' if len(run) == 1 else
            f'{self.ids[run[0]]} to {self.ids[run[-1]]} -> {run[0]} to {run[-1]} ({self.classes[run[0]]} to '
            f'{self.classes[run[-1]]})' for run in runs)


class FolderReader(ABC):
    """How a task reads folders, and what a config becomes by them."""

    @abstractmethod
    def read(self, folder: Path, dataset: Mapping[str, Any], scratch: Path) -> FolderFacts:
        """What the folder holds.

        Args:
            folder: An absolute path.
            dataset: The config's dataset, whose class and pipeline tell what is to be read.
            scratch: The folder in which ``files`` will be written.

        Raises:
            FolderError: The folder is of no known layout, or something in it cannot be used; the message names the
                file and the remedy.
        """

    @abstractmethod
    def dataset(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
        """The config of a dataset of the folder.

        Args:
            old: The config's own dataset; its pipeline stays.
            new: The entry of ``FolderFacts.datasets``.
        """

    def pipeline(self, transforms: list[Any], facts: FolderFacts) -> list[Any]:
        """A pipeline of the config as it reads the folder."""
        return transforms

    def evaluator(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
        """A metric of the config as it compares with what the folder holds; the arguments are as in ``dataset``."""
        return dict(old)


def use_folder(cfg: Any, folder: str, scratch: Path) -> FolderFacts:
    """Put a folder into the place of all data of a config, and its classes into the model.

    Args:
        cfg: The config, which is changed.
        folder: Where the data are.
        scratch: Where lists of a split may be written: in the work dir.

    Raises:
        MissingDataError: There is no such folder.
        FolderError: The config's task reads no folders, the folder cannot be used, or the model has something that
            does not fit its classes.
    """
    path = Path(folder).expanduser().resolve()
    if not path.is_dir():
        raise MissingDataError(f'{folder} of --data {"is no folder" if path.exists() else "does not exist"}: give the '
                               'folder that holds images/ and masks/ (or depth/, or alpha/), lq/ and hq/, a COCO file '
                               'and its images, or the data.yaml of YOLO')
    reader, dataset = find_reader(cfg)
    facts = reader.read(path, dataset, scratch)
    if facts.classes:
        set_num_classes(cfg.model, len(facts.classes))
    for name, content in facts.files.items():
        write_atomic(content, scratch / name)
    for split in SPLITS:
        loader, evaluator = (cfg.get(f'{split}_{part}') for part in ('dataloader', 'evaluator'))
        new = facts.datasets.get(split, facts.datasets['val'])
        if loader:
            cfg[f'{split}_dataloader'] = dict(loader, dataset=_replaced(loader['dataset'], reader, new, facts))
        if evaluator:
            cfg[f'{split}_evaluator'] = ([reader.evaluator(each, new) for each in evaluator]
                                         if isinstance(evaluator, list | tuple) else reader.evaluator(evaluator, new))
    if cfg.get('tta_pipeline'):
        cfg.tta_pipeline = reader.pipeline(cfg.tta_pipeline, facts)
    return facts


def find_reader(cfg: Any) -> tuple[FolderReader, dict[str, Any]]:
    """The reader for a config's first dataset, by its class or a base class, and that dataset.

    Raises:
        FolderError: The config has no dataset, or one that no task reads folders for.
    """
    dataset = next((dataset for _, dataset in datasets_of(cfg)), None)
    if dataset is None:
        raise FolderError(f'{cfg.filename} has no dataset, whose task would say how to read --data')
    kind = dataset['type']
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope')), \
            DATASETS.switch_scope_and_registry(None) as registry:
        kind = registry.get(kind) if isinstance(kind, str) else kind  # configs may hold the class
    readers = _readers()
    for base in getattr(kind, '__mro__', ()):
        name = f'{base.__module__.partition(".")[0]}.{base.__name__}'
        if name in readers:
            if readers[name] is None:
                break
            return readers[name], dataset
    known = ', '.join(name for name, reader in readers.items() if reader is not None)
    raise FolderError(f'--data cannot be read for the dataset {dataset["type"]} of {cfg.filename}: take a config whose '
                      f'dataset is one of {known}, or derives from it; or name the data in a config of your own')


def _readers() -> dict[str, FolderReader | None]:
    """Those of all tasks, by the class of datasets; None for a class that is not to be read as its base class."""
    from .coco_folders import READERS  # late: it derives from FolderReader
    package = __name__.rpartition('.common')[0]
    readers: dict[str, FolderReader | None] = dict(READERS)
    for task in pkgutil.iter_modules(import_module(package).__path__, f'{package}.'):
        if task.ispkg and find_spec(f'{task.name}.folder'):
            readers |= import_module(f'{task.name}.folder').READERS
    return readers


def _replaced(dataset: Mapping[str, Any], reader: FolderReader, new: Mapping[str, Any], facts: FolderFacts
              ) -> dict[str, Any]:
    """A dataset within its wrappers; of several that are concatenated one is left."""
    if 'dataset' in dataset:
        inner = dict(dataset, dataset=_replaced(dataset['dataset'], reader, new, facts))
        return dict(inner, pipeline=reader.pipeline(inner['pipeline'], facts)) if inner.get('pipeline') else inner
    if 'datasets' in dataset:
        return _replaced(dataset['datasets'][0], reader, new, facts)
    changed = reader.dataset(dataset, new)
    return dict(changed, pipeline=reader.pipeline(list(changed.get('pipeline') or ()), facts))


def set_num_classes(model: Any, count: int) -> None:
    """Give a model, its heads and their losses another number of classes.

    Raises:
        FolderError: Nothing in it has ``num_classes``, or a loss weighs the classes one by one.
    """
    parts = list(_parts(model, 'model'))
    old = next((part['num_classes'] for _, part in parts if isinstance(part.get('num_classes'), int)), None)
    if old is None:
        raise FolderError('nothing in the model of the config has num_classes, which follows from --data: write it '
                          'into the config')
    for key, part in parts:
        for name in _WEIGHTS:
            if isinstance(weights := part.get(name), list | tuple) and len(weights) not in (count, count + 1):
                raise FolderError(f'{key}.{name} has {len(weights)} numbers, and --data has {count} classes: set '
                                  f'{key}.{name}=None (--cfg-options), or give it one for each class')
        if part.get('num_classes') == old:
            part['num_classes'] = count


def _parts(node: Any, key: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """All dicts of a model's config with their keys, but those of the backbone, which has classes of its own."""
    if isinstance(node, dict):
        yield key, node
    entries = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list | tuple) else ()
    for name, value in entries:
        if name != 'backbone':
            yield from _parts(value, f'{key}.{name}')


def split_of(name: str) -> str | None:
    """The split that a folder or a file is named after: ``'val'`` for ``valid`` or ``instances_val2017``."""
    words = ''.join(letter if letter.isalpha() else ' ' for letter in name.lower()).split()
    return next((split for split, names in SPLIT_NAMES.items() if any(word in names for word in words)), None)


def divide(names: Sequence[str], folder: Path) -> tuple[list[str], list[str]]:
    """Images to learn from and to validate on: about a tenth, chosen by a hash of the name.

    At least one is on either side. From some dozens of images on, a name keeps its place when others are added.

    Raises:
        FolderError: There are fewer than two.
    """
    if len(names) < 2:
        raise FolderError(f'{folder} has {len(names)} image, and one to learn from and one to validate on are needed: '
                          'add some')
    places = {name: int.from_bytes(hashlib.sha256(name.encode('utf-8', 'surrogateescape')).digest()[:8], 'big')
              for name in names}
    val = {name for name, place in places.items() if place % _TENTH == 0}
    first, last = (choose(places, key=places.__getitem__) for choose in (min, max))
    val = (val or {first}) - ({last} if len(val) == len(names) else set())
    return [name for name in names if name not in val], [name for name in names if name in val]


def nested(transforms: list[Any], change: Callable[[dict[str, Any]], dict[str, Any]]) -> list[Any]:
    """A pipeline in which every transform, those of loops and branches too, is changed."""
    def changed(node: Any) -> Any:
        if isinstance(node, list | tuple):
            return [changed(each) for each in node]
        if isinstance(node, dict) and 'type' in node:
            inner = {key: changed(value) if key in ('transforms', 'transform') else value
                     for key, value in node.items()}
            return change(inner)
        return node
    return changed(transforms)
