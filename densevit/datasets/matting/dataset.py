"""Images, or foregrounds, with files of their opacity."""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.dataset import BaseDataset

from ...registry import DATASETS
from ..common.coco_json import EmptyDatasetError
from ..common.folders import IMAGE_SUFFIXES
from ..common.locate import HELP, MissingDataError
from ..common.other_images import offer_images
from ..common.paired_folders import files_by_name


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
            FileNotFoundError: A folder or a trimap is missing.
            FolderError: Two files of a folder have one name.
            EmptyDatasetError: No image has an opacity.
        """
        images, opacities = (self._files(name, 'opacity') for name in ('img_path', 'alpha_path'))
        trimaps = self._files('trimap_path', 'trimap') if 'trimap_path' in self.data_prefix else None
        entries = []
        for name, path in images.items():
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
        if not entries:
            raise EmptyDatasetError(f'{self.data_prefix["img_path"]} has no image with an opacity of its name in '
                                    f'{self.data_prefix["alpha_path"]}: correct data_prefix; {HELP}')
        return entries

    def _files(self, prefix: str, what: str) -> dict[str, Path]:
        """Those of a folder of ``data_prefix`` by their name."""
        folder = Path(self.data_prefix[prefix])
        if not folder.is_dir():
            raise MissingDataError(f'{folder} is missing: put the files there, or correct data_prefix.{prefix}; {HELP}')
        return files_by_name(folder, IMAGE_SUFFIXES, what)


def pictures_in(folder: str | Path) -> list[Path]:
    """The pictures of a folder and of those in it, by name."""
    return [path for path in sorted(Path(folder).rglob('*'))
            if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith('.')]
