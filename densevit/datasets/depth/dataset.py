"""Images with depth, from lists of files."""
from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.dataset import BaseDataset

from ...registry import DATASETS
from ..common.folders import IMAGE_SUFFIXES

_NO_DEPTH = 'None'  # in the lists of KITTI, for frames without ground truth


class DepthListError(ValueError):
    """A line of a list of images and depth makes no sense."""


@DATASETS.register_module()
class DepthDataset(BaseDataset):
    """Images, each with a map of its depth.

    Args:
        ann_file: A list with a line for each image: its name without suffix, for which ``img_suffix`` and
            ``depth_suffix`` are added; or, as the lists of NYUv2 and KITTI (BTS, AdaBins), the files of image and depth
            and, if it is known, the focal length in pixels or ``fx,fy,cx,cy``, separated by spaces, or by tabs where
            names have spaces. ``None`` for the depth leaves a line out. Without a list, all images of the folder for
            which there is depth.
        data_root: What the other paths lie in.
        data_prefix: ``dict(img_path=..., depth_map_path=...)``, the folders of images and depth.
        img_suffix, depth_suffix: Of names without one.
        depth_scale: Values of a 16-bit file per metre: 1000 for NYUv2, 256 for KITTI.
        camera: Focal length or more of all images, see :func:`densevit.datasets.depth.camera.as_camera`; that of a
            line wins. None where it is not known.
        options: Other arguments of :class:`mmengine.dataset.BaseDataset`.

    Attributes:
        remarks: How many lines or images were left out, by the reason.

    Raises:
        DepthListError: A line of the list has more than three entries, or its focal length is no number.
    """

    def __init__(
        self,
        ann_file: str = '',
        data_root: str = '',
        data_prefix: Mapping[str, str] | None = None,
        img_suffix: str = '.jpg',
        depth_suffix: str = '.png',
        depth_scale: float = 1000.,
        camera: float | Sequence[float] | None = None,
        **options: Any,
    ) -> None:
        self.img_suffix, self.depth_suffix = img_suffix, depth_suffix
        self.depth_scale, self.camera = depth_scale, camera
        self.remarks: dict[str, int] = {}
        prefix = dict(img_path='', depth_map_path='') | dict(data_prefix or {})
        super().__init__(ann_file=ann_file, data_root=data_root, data_prefix=prefix, **options)

    def load_data_list(self) -> list[dict[str, Any]]:
        """One entry for each image: ``img_path``, ``depth_map_path``, ``depth_scale`` and, if known, ``camera``."""
        images, depths = (Path(self.data_prefix[name]) for name in ('img_path', 'depth_map_path'))
        if not self.ann_file:
            return self._entries_of_folders(images, depths)
        entries = []
        with open(self.ann_file, encoding='utf-8', errors='surrogateescape') as lines:
            for number, line in enumerate(lines, 1):
                line = line.strip()
                if not (words := line.split('\t') if '\t' in line else line.split()):
                    continue
                if len(words) == 1 and Path(words[0]).suffix.lower() not in IMAGE_SUFFIXES:
                    entries.append(self._entry(images / (words[0] + self.img_suffix),
                                               depths / (words[0] + self.depth_suffix)))
                elif len(words) in (2, 3):
                    if words[1] == _NO_DEPTH:
                        self._remark('lines without depth (None), which are left out')
                        continue
                    image, depth = (os.path.join(base, word if Path(word).is_relative_to(self.data_root or '/')
                                                 else word.lstrip('/'))
                                    for base, word in zip((images, depths), words[:2], strict=True))
                    entries.append(self._entry(image, depth, self._camera(words[2:], number)))
                else:
                    raise DepthListError(f'line {number} of {self.ann_file} has {len(words)} entries: write a name, or '
                                         'the files of image and depth and the focal length')
        return entries

    def _entries_of_folders(self, images: Path, depths: Path) -> list[dict[str, Any]]:
        """All images of a folder with their depth; those without any, and of other suffixes, are counted."""
        entries = []
        for path in sorted(images.rglob('*')):
            name = path.relative_to(images).as_posix().removesuffix(self.img_suffix)
            depth = depths / (name + self.depth_suffix)
            if not path.name.endswith(self.img_suffix):
                is_depth = path.name.endswith(self.depth_suffix) and path.is_relative_to(depths)
                if path.suffix.lower() in IMAGE_SUFFIXES and not is_depth:
                    self._remark(f"pictures ({path.suffix}) are left out, which do not end in '{self.img_suffix}': "
                                 f"rename them, or read them as another dataset with img_suffix='{path.suffix}'")
            elif depth.exists():
                entries.append(self._entry(path, depth))
            else:
                self._remark(f'images without depth of their name ({self.depth_suffix}), which are left out')
        return entries

    def _remark(self, reason: str) -> None:
        self.remarks[reason] = self.remarks.get(reason, 0) + 1

    def _camera(self, words: Sequence[str], number: int) -> list[float] | None:
        if not words:
            return None
        try:
            return [float(word) for word in words[0].split(',')]
        except ValueError:
            raise DepthListError(f'line {number} of {self.ann_file} has {words[0]} in the place of a focal length in '
                                 'pixels: write a number, or leave it out') from None

    def _entry(self, image: str | os.PathLike, depth: str | os.PathLike, camera: Any = None) -> dict[str, Any]:
        entry = dict(img_path=str(image), depth_map_path=str(depth), depth_scale=self.depth_scale)
        camera = self.camera if camera is None else camera
        return entry if camera is None else dict(entry, camera=camera)
