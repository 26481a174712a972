"""Images, or foregrounds, with files of their opacity."""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.dataset import BaseDataset

from ...registry import DATASETS
from ..common.folders import IMAGE_SUFFIXES
from ..common.other_images import offer_images


@DATASETS.register_module()
class MattingDataset(BaseDataset):
    """Images with opacities of the same names, and maybe trimaps.

    The images of a folder for which there is an opacity are taken, in any format; ``remarks`` counts the others. A
    foreground that is a PNG with transparency is its own opacity: ``data_prefix=dict(img_path='fg', alpha_path='fg')``.

    Args:
        data_root: What the folders lie in.
        data_prefix: ``dict(img_path=..., alpha_path=..., trimap_path=...)``, the folders of images (or foregrounds),
            opacities and, if there are files of them, trimaps.
        options: Other arguments of :class:`mmengine.dataset.BaseDataset`.

    Attributes:
        remarks: How many images were left out, by the reason.
    """

    def __init__(self, data_root: str = '', data_prefix: Mapping[str, str] | None = None, **options: Any) -> None:
        self.remarks: dict[str, int] = {}
        prefix = dict(img_path='images', alpha_path='alpha') | dict(data_prefix or {})
        super().__init__(data_root=data_root, data_prefix=prefix, **options)
        offer_images(self)

    def load_data_list(self) -> list[dict[str, Any]]:
        """One entry for each image: ``img_path``, ``alpha_path`` and, if there are trimaps, ``trimap_path``.

        Raises:
            FileNotFoundError: A trimap is missing.
        """
        images, alphas = (Path(self.data_prefix[name]) for name in ('img_path', 'alpha_path'))
        trimaps = _by_name(self.data_prefix['trimap_path']) if 'trimap_path' in self.data_prefix else None
        opacities, entries = _by_name(alphas), []
        for name, path in _by_name(images).items():
            if name not in opacities:
                reason = 'images without an opacity of their name, which are left out'
                self.remarks[reason] = self.remarks.get(reason, 0) + 1
                continue
            entry = dict(img_path=str(path), alpha_path=str(opacities[name]))
            if trimaps is not None:
                if name not in trimaps:
                    raise FileNotFoundError(f'{self.data_prefix["trimap_path"]} has no trimap for {path}: add it, or '
                                            'leave out trimap_path')
                entry['trimap_path'] = str(trimaps[name])
            entries.append(entry)
        return entries


def _by_name(folder: str | Path) -> dict[str, Path]:
    """The pictures below a folder by their path in it without suffix, in order."""
    return {path.relative_to(folder).with_suffix('').as_posix(): path for path in pictures_in(folder)}


def pictures_in(folder: str | Path) -> list[Path]:
    """The pictures of a folder and of those in it, by name."""
    return [path for path in sorted(Path(folder).rglob('*'))
            if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith('.')]
