"""Images to restore and what they should become, found by their names."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.dataset import BaseDataset

from ...registry import DATASETS
from ..common.folders import IMAGE_SUFFIXES
from ..common.locate import HELP, MissingDataError
from .names import FORMS, name_forms


class Pair(NamedTuple):
    """A true image and its degraded one; None where that is made in the pipeline.

    Attributes:
        name: The path of the true image below its folder.
        hq: The true image.
        lq: The degraded one.
    """
    name: str
    hq: Path
    lq: Path | None = None


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder and of those in it, by name."""
    return [path for path in sorted(folder.rglob('*'))
            if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith('.')]


def find_pairs(hq: Path, lq: Path | None = None) -> list[Pair]:
    """The pictures of a folder, each with that of the same name in another one.

    Names may differ in their suffix and in an end such as ``x4``, ``_LR`` or ``_HR``.

    Raises:
        MissingDataError: A folder is missing or has no picture, or a picture has no partner or several.
    """
    for folder in filter(None, (hq, lq)):
        if not folder.is_dir():
            raise MissingDataError(f'{folder} is missing: put the images there, or name their folder in the dataset '
                                   f'(hq, lq); {HELP}')
    found = pictures_in(hq)
    if not found:
        raise MissingDataError(f'{hq} has no picture ({", ".join(IMAGE_SUFFIXES)}): put some into it')
    if lq is None:
        return [Pair(path.relative_to(hq).as_posix(), path) for path in found]
    partners = pictures_in(lq)
    for own, other in FORMS:
        true, degraded = _by_name(found, hq, own), _by_name(partners, lq, other)
        if true.keys() == degraded.keys() and (len(true), len(degraded)) == (len(found), len(partners)):
            return [Pair(path.relative_to(hq).as_posix(), path, degraded[name]) for name, path in true.items()]
    raise MissingDataError(_unpaired(found, hq, partners, lq))


def _unpaired(found: Sequence[Path], hq: Path, partners: Sequence[Path], lq: Path) -> str:
    """Why pictures are no pairs, by their names without ends."""
    true, degraded = _by_name(found, hq, -1), _by_name(partners, lq, -1)
    for own, other, place in ((true, degraded, lq), (degraded, true, hq)):
        if without := [path for name, path in own.items() if name not in other]:
            more = f' and {len(without) - 1} more images have' if len(without) > 1 else ' has'
            return f'{without[0]}{more} no image of that name in {place}: add it, or remove what has no partner'
    first, second = next((path, kept) for paths, by_name, folder in ((found, true, hq), (partners, degraded, lq))
                         for path in paths if (kept := by_name[_name(path, folder, -1)]) != path)
    return f'{first} and {second} have one name, and pairs are found by it: rename one'


def _by_name(paths: Sequence[Path], folder: Path, form: int) -> dict[str, Path]:
    """Pictures of a folder by a form of their names; the last one of several with one name."""
    return {_name(path, folder, form): path for path in paths}


def _name(path: Path, folder: Path, form: int) -> str:
    relative = path.relative_to(folder)
    return relative.with_name(name_forms(relative.stem)[form]).as_posix()


@DATASETS.register_module()
class RestorationDataset(BaseDataset):
    """True images in folders, with degraded ones in others or without, which then are made by ``densevit.Degrade``.

    Args:
        hq: The folder of true images, or several, below ``data_root``.
        lq: That of degraded images, as many as ``hq`` has; None where there are none.
        data_root: Where these folders are.
        options: Other arguments of :class:`mmengine.dataset.BaseDataset`.

    Raises:
        MissingDataError: Folders are missing or empty, or a picture has no partner.
    """

    def __init__(self, hq: str | Sequence[str] = 'hq', lq: str | Sequence[str] | None = None,
                 data_root: str = '', lazy_init: bool = False, **options: Any) -> None:
        self.hq, self.lq = _several(hq), None if lq is None else _several(lq)
        if self.lq is not None and len(self.lq) != len(self.hq):
            raise ValueError(f'{len(self.hq)} folders of true images and {len(self.lq)} of degraded ones: give as many '
                             'of both')
        super().__init__(data_root=data_root, lazy_init=lazy_init, **options)

    def pairs(self) -> list[Pair]:
        """All pairs of the dataset."""
        root = Path(self.data_root or '')
        lq = [None] * len(self.hq) if self.lq is None else [root / folder for folder in self.lq]
        return [pair for place, partner in zip(self.hq, lq, strict=True) for pair in find_pairs(root / place, partner)]

    def load_data_list(self) -> list[dict[str, Any]]:
        """An entry for each pair: ``img_path``, what is to be restored, and ``gt_path``, the true image.

        Both are the same file where there is no degraded one.
        """
        return [dict(img_path=str(pair.lq or pair.hq), gt_path=str(pair.hq)) for pair in self.pairs()]


def _several(folders: str | Sequence[str]) -> list[str]:
    return [folders] if isinstance(folders, str) else list(folders)


def is_pair(info: Mapping[str, Any]) -> bool:
    """Whether an entry of a data set has a degraded image."""
    return info['img_path'] != info['gt_path']


def remedy_of_pair(size: Sequence[int], small: Sequence[int]) -> str:
    """What to do about a true image and a degraded one whose sizes, (height, width), do not fit each other."""
    scale = max(1, size[0] // small[1])
    if size[0] != size[1] and tuple(size) == (scale * small[1], scale * small[0]):
        return ('one of them may be turned by its EXIF orientation, and the other not: remove that (exiftool '
                '-Orientation= FILE), or turn the other')
    if small[0] > size[0] and small[1] > size[1]:
        return 'the degraded image is the larger one, so that the folders hq and lq may be swapped'
    return 'crop the true image to a whole number of times the other'
