"""Folders of one's own for restoration: ``lq/`` and ``hq/``, or true images alone, which a config degrades."""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...registry import DATASETS
from ..common.file_facts import FactsMemory, UnreadableFileError
from ..common.folders import SPLIT_NAMES, FolderError, FolderFacts, FolderReader
from ..common.locate import MissingDataError
from ..common.paired_folders import first_folder, left_out, with_validation
from .dataset import Pair, RestorationDataset, find_pairs, pictures_in
from .names import name_forms

HQ_FOLDERS, LQ_FOLDERS = ('hq', 'HQ', 'HR', 'hr', 'gt', 'GT', 'target'), ('lq', 'LQ', 'LR', 'lr', 'input')


@DATASETS.register_module()
class RestorationFolderDataset(RestorationDataset):
    """A split of the folder ``data_root``, as :class:`RestorationFolder` divides it.

    Args:
        split: ``'train'``, ``'val'`` or ``'test'``.
        options: Other arguments of :class:`mmengine.dataset.BaseDataset`.
    """

    def __init__(self, split: str, lazy_init: bool = False, **options: Any) -> None:
        self.split = split
        super().__init__(lazy_init=lazy_init, **options)

    def pairs(self) -> list[Pair]:
        return divided_pairs(Path(self.data_root))[0].get(self.split, [])


class RestorationFolder(FolderReader):
    """``lq/`` and ``hq/`` with pictures of the same names, ``hq/`` alone, or pictures without such folders.

    Where there are no degraded images, they are made by ``densevit.Degrade`` of the config's pipeline; pairs pass it
    by. ``train/``, ``val/`` and ``test/`` may be above or below ``lq`` and ``hq``.
    """

    def read(self, folder: Path, dataset: Mapping[str, Any], scratch: Path) -> FolderFacts:
        pairs, division = divided_pairs(folder)
        first = next(iter(pairs.values()))[0]
        if first.lq is None:
            layout = 'true images, degraded by the config'
        else:
            scale = _scale(first, FactsMemory(scratch.parent / 'data_check.json'))
            layout = f'pairs of images, {scale} times larger' if scale > 1 else 'pairs of images of one size'
        options = dict(type='densevit.RestorationFolderDataset', data_root=str(folder))
        return FolderFacts(layout, {split: dict(options, split=split) for split in pairs},
                           {split: len(each) for split, each in pairs.items()}, division, notes=left_out(folder))

    def dataset(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
        return {key: old[key] for key in ('pipeline', 'test_mode', 'serialize_data', 'max_refetch') if key in old} | new


READERS = {'densevit.RestorationDataset': RestorationFolder()}


def divided_pairs(folder: Path) -> tuple[dict[str, list[Pair]], str]:
    """Pairs by split, and where the split comes from.

    Raises:
        FolderError: There is no picture, or a picture has no partner.
    """
    try:
        parts = _parts(folder)
        pairs = {split: find_pairs(*part) for split, part in parts.items()}
    except MissingDataError as error:
        raise FolderError(str(error)) from error
    if None in pairs:
        return with_validation(dict(train=pairs[None]), folder, '')
    return with_validation(pairs, folder, 'in folders of their own')


def _parts(folder: Path) -> dict[str | None, tuple[Path, Path | None]]:
    """The folders of true and of degraded images by split; None for one that is not divided."""
    found: dict[str | None, tuple[Path, Path | None]] = {}
    hq, lq = first_folder(folder, HQ_FOLDERS), first_folder(folder, LQ_FOLDERS)
    for split, names in SPLIT_NAMES.items():
        for name in names:
            inside = first_folder(folder / name, HQ_FOLDERS)
            if inside:
                found[split] = inside, first_folder(folder / name, LQ_FOLDERS)
            elif hq and (hq / name).is_dir():
                found[split] = hq / name, lq and lq / name
            elif not hq and not lq and (folder / name).is_dir():
                found[split] = folder / name, None
    _refuse_others(folder, hq, lq)
    if found:
        return found
    if hq:
        return {None: (hq, lq)}
    if lq:
        raise FolderError(f'{folder} has {lq.name}/ and no true images: put them into {folder / "hq"} under the same '
                          'names')
    if not pictures_in(folder):
        raise FolderError(f'{folder} holds no pictures: put pairs into lq/ and hq/, or true images alone into hq/')
    return {None: (folder, None)}


def _refuse_others(folder: Path, hq: Path | None, lq: Path | None) -> None:
    """See that no folder is taken for true images that holds degraded ones, and that none of these is overlooked.

    Raises:
        FolderError: Pictures of two folders have the same names, and the folders are not called so that one would know
            which are the true ones.
    """
    if hq and lq:
        return
    known = {name for names in SPLIT_NAMES.values() for name in names}
    others = [path for path in sorted(folder.iterdir())
              if path.is_dir() and path not in (hq, lq) and path.name not in known and not path.name.startswith('.')]
    if not hq and len(others) != 2:  # more are of several scenes, whose pictures may have the same names
        return
    first, *rest = [hq, *others] if hq else others
    for other in rest:
        if common := _names(first) & _names(other):
            raise FolderError(
                f'{first} and {other} have pictures of the same names, such as {min(common)}, and may be pairs: put '
                f'true ones into {folder / "hq"} and degraded ones into {folder / "lq"}; where both hold true ones, '
                f'put both folders into {folder / "hq"}')


def _names(folder: Path) -> set[str]:
    return {name_forms(path.stem)[-1] for path in pictures_in(folder)}


def _scale(pair: Pair, memory: FactsMemory) -> int:
    try:
        large, small = (memory.facts(str(path), 'image') for path in (pair.hq, pair.lq))
    except UnreadableFileError as error:
        raise FolderError(str(error)) from error
    return max(1, large.height // small.height)
