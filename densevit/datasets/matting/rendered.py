"""Foregrounds with exact opacities that are rendered: bodies with soft, moved or hairy edges in a photograph's colours.

For those who have no opacities to learn from. What is drawn follows from numpy's random state, which
``densevit.SeedAugmentation`` sets for each sample.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.dataset import BaseDataset
from PIL import Image

from ...registry import DATASETS, TRANSFORMS
from ..common.folders import IMAGE_SUFFIXES
from ..common.paired_folders import files_by_name

_FINE = 3  # times larger than the picture hair is drawn, then averaged over: what thin strokes cover is their opacity
_LEAST_OBJECT = .01  # of a picture, below which a labelled object is not taken for a body


@DATASETS.register_module()
class Photographs(BaseDataset):
    """Photographs alone, or with label maps of the same names.

    Args:
        data_root: What the folders lie in.
        ann_file: A list of names without suffix, a line each; without it all pictures below the folder are taken.
        data_prefix: ``dict(img_path=..., seg_map_path=...)``, the second if there are label maps, as PNG.
        options: Other arguments of :class:`mmengine.dataset.BaseDataset`.
    """

    def __init__(self, data_root: str = '', ann_file: str = '', data_prefix: Mapping[str, str] | None = None,
                 **options: Any) -> None:
        super().__init__(data_root=data_root, ann_file=ann_file, data_prefix=dict(data_prefix or dict(img_path='')),
                         **options)

    def load_data_list(self) -> list[dict[str, Any]]:
        """One entry for each photograph: ``img_path`` and, if there are label maps, ``seg_map_path``.

        Raises:
            FileNotFoundError: A photograph or a label map is missing.
            FolderError: Two photographs have one name.
        """
        folder = Path(self.data_prefix['img_path'])
        files = files_by_name(folder, IMAGE_SUFFIXES, 'label map')
        if not files:
            raise FileNotFoundError(f'{folder} has no picture: correct data_prefix.img_path of Photographs')
        names = list(files)
        if self.ann_file:
            names = list(filter(None, map(str.strip, Path(self.ann_file).read_text(encoding='utf-8').splitlines())))
            if absent := [name for name in names if name not in files]:
                raise FileNotFoundError(f'{self.ann_file} names {absent[0]}, and {folder} has no picture of this name: '
                                        'add it, or remove the line')
        entries = [dict(img_path=str(files[name])) for name in names]
        if 'seg_map_path' in self.data_prefix:
            for entry, name in zip(entries, names, strict=True):
                entry['seg_map_path'] = str(Path(self.data_prefix['seg_map_path']) / f'{name}.png')
                if not Path(entry['seg_map_path']).is_file():
                    raise FileNotFoundError(f'{entry["seg_map_path"]} is missing: add the label map of '
                                            f'{entry["img_path"]}, or leave out seg_map_path')
        return entries


@TRANSFORMS.register_module()
class RenderForeground(BaseTransform):
    """Makes a foreground of a photograph: its colours, and an opacity that is drawn.

    The body is an object of the photograph's label map, a little smaller than it is, or a random blob. Its edge is
    sharp, out of focus or moved; strands of hair grow out of it in most pictures, in the colours of their roots; some
    bodies have a veil through which one sees.

    Args:
        objects: Labels of objects that are taken for bodies; the largest connected part of a random one.
        hair: The probability of hair.
        object: The probability that an object of the label map is the body, where there is one.
        veil: The probability that one sees through parts of the body.

    Required keys: ``img`` and maybe ``seg_map_path``. Modified key: ``img``, (H, W, 3) uint8, whose colours go on
    outside the object. Added keys: ``gt_alpha`` (H, W) float32 in [0, 1], and ``alpha_path``, the photograph's, by
    which errors are named.
    """

    def __init__(self, objects: Sequence[int] = (), hair: float = .75, object: float = .7, veil: float = .1) -> None:
        self.objects, self.hair, self.object, self.veil = tuple(objects), hair, object, veil

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        colors = results['img']
        mask = None
        if 'seg_map_path' in results and np.random.uniform() < self.object:
            with Image.open(results['seg_map_path']) as labels:
                mask = _object_of(np.asarray(labels), self.objects)
        if mask is None:
            mask = _blob(colors.shape[:2])
        else:
            colors = _spread(colors, mask)
        alpha = _edge(mask)
        if np.random.uniform() < self.veil:
            alpha *= 1 - _clouds(mask.shape, 24) * np.random.uniform(.3, .9)
        if np.random.uniform() < self.hair:
            strands, colors = _hair(mask, colors)
            alpha = 1 - (1 - alpha) * (1 - strands)
        if np.random.uniform() < .1:
            alpha = _moved(alpha)
        results['img'] = colors
        results['gt_alpha'] = np.clip(np.rint(255 * alpha), 0, 255).astype(np.float32) / np.float32(255)
        results['alpha_path'] = results['img_path']
        return results

    def __repr__(self) -> str:
        return (f'{type(self).__name__}(objects={self.objects}, hair={self.hair}, object={self.object}, '
                f'veil={self.veil})')


def _object_of(labels: np.ndarray, objects: Sequence[int]) -> np.ndarray | None:
    """The largest connected part of a random label, (H, W) bool, without its outermost pixels; None without one."""
    present = [label for label in objects if np.count_nonzero(labels == label) >= _LEAST_OBJECT * labels.size]
    if not present:
        return None
    count, parts, stats, _ = cv2.connectedComponentsWithStats((labels == np.random.choice(present)).astype(np.uint8))
    mask = parts == 1 + stats[1:, cv2.CC_STAT_AREA].argmax() if count > 1 else np.zeros(labels.shape, bool)
    # Outlines of label maps lie some pixels beside the objects: what is cut off would show the background.
    mask = cv2.distanceTransform(np.pad(mask.astype(np.uint8), 1), cv2.DIST_L2, 3)[1:-1, 1:-1] > 3
    return mask if mask.mean() >= _LEAST_OBJECT else None


def _blob(size: Sequence[int]) -> np.ndarray:
    """Up to three closed curves around centres, whose radius is a random sum of waves: (H, W) bool."""
    height, width = size
    mask, angles = np.zeros(size, np.uint8), np.linspace(0, 2 * np.pi, 128, endpoint=False)
    for _ in range(np.random.randint(1, 4)):
        radius = np.full_like(angles, np.random.uniform(.12, .4) * min(size))
        for wave in range(1, 9):
            radius *= 1 + np.random.uniform(0, .35) / wave * np.cos(wave * angles + np.random.uniform(0, 2 * np.pi))
        center = np.random.uniform(.2, .8, 2) * (width, height)
        points = center + radius[:, None] * np.stack((np.cos(angles), np.sin(angles) * np.random.uniform(.6, 1.6)), 1)
        cv2.fillPoly(mask, [np.rint(points).astype(np.int32)], 1)
    return mask > 0


def _spread(colors: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Colours whose pixels outside a mask are those of the nearest one inside."""
    _, nearest = cv2.distanceTransformWithLabels((~mask).astype(np.uint8), cv2.DIST_L2, 5,
                                                 labelType=cv2.DIST_LABEL_PIXEL)
    by_label = np.zeros((nearest.max() + 1, 3), colors.dtype)
    by_label[nearest[mask]] = colors[mask]
    return np.where(mask[..., None], colors, by_label[nearest])


def _edge(mask: np.ndarray) -> np.ndarray:
    """The opacity of a body with a sharp, a moved or an unsharp edge, which may be sharper in some places."""
    alpha = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), .7)
    kind = np.random.uniform()
    if kind < .25:
        return _moved(alpha)
    if kind < .6:
        soft = cv2.GaussianBlur(alpha, (0, 0), np.exp(np.random.uniform(np.log(1), np.log(9))))
        share = _clouds(mask.shape, 48)
        return alpha * (1 - share) + soft * share
    return alpha


def _moved(alpha: np.ndarray) -> np.ndarray:
    """Blurred along a line in a random direction, as what moves is while the shutter is open."""
    length = int(np.random.randint(5, 28))
    kernel = np.zeros((length, length), np.uint8)
    middle, angle = (length - 1) / 2, np.random.uniform(0, np.pi)
    reach = middle * np.array([np.cos(angle), np.sin(angle)])
    cv2.line(kernel, *(tuple(np.rint(middle + sign * reach).astype(int).tolist()) for sign in (-1, 1)), 255, 1,
             cv2.LINE_AA)
    return cv2.filter2D(alpha, -1, kernel.astype(np.float32) / kernel.sum(), borderType=cv2.BORDER_REPLICATE)


def _clouds(size: Sequence[int], scale: float) -> np.ndarray:
    """Smooth noise (H, W) float32 in [0, 1], whose bumps are about ``scale`` pixels wide."""
    height, width = size
    coarse = np.random.uniform(-1, 2, (max(2, round(height / scale)), max(2, round(width / scale)))).astype(np.float32)
    return np.clip(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), 0, 1)


def _hair(mask: np.ndarray, colors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The opacity (H, W) of strands that grow out of a body, and colours in which theirs are painted."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline = max(contours, key=len)[:, 0].astype(np.float64) if contours else np.zeros((0, 2))
    if len(outline) < 16:
        return np.zeros(mask.shape, np.float32), colors
    height, width = mask.shape
    drawn, colors = np.zeros((height * _FINE, width * _FINE), np.uint8), colors.copy()
    # Outwards is across the outline, to the side that its direction says.
    along = np.roll(outline, -7, 0) - np.roll(outline, 7, 0)
    out = np.stack((along[:, 1], -along[:, 0]), 1) / (np.linalg.norm(along, axis=1, keepdims=True) + 1e-6)
    out *= np.sign(cv2.contourArea(outline.astype(np.float32), oriented=True)) or 1
    # A tuft is a part of the outline whose strands have a length and a direction in common.
    steps = np.linspace(0, 1, 8)
    for _ in range(np.random.randint(1, 7)):
        middle, spread = np.random.randint(len(outline)), np.random.uniform(.02, .25) * len(outline)
        length, lean = np.exp(np.random.uniform(np.log(6), np.log(.3 * min(mask.shape) + 7))), np.random.normal(0, .5)
        thick, bend = np.exp(np.random.uniform(np.log(.25), np.log(1.6))), np.random.normal(0, .6)
        tint, opaque = np.random.uniform(.6, 1.3), np.random.uniform(.6, 1)
        for _ in range(int(np.random.uniform(.3, 4.) * spread) + 4):
            root = int(middle + np.random.normal(0, spread)) % len(outline)
            turn = lean + np.random.normal(0, .25) + bend * (1 + np.random.normal(0, .4)) * steps
            direction = np.stack((np.cos(turn), np.sin(turn)), 1)
            heading = np.stack((direction @ (out[root] * (1, -1)), direction @ out[root][::-1]), 1)
            own = length * np.random.uniform(.4, 1.2) / len(steps)
            start = outline[root] - 3 * out[root]
            points = start + np.concatenate((np.zeros((1, 2)), np.cumsum(heading * own, 0)))
            x, y = np.rint(start).astype(int).clip(0, (width - 1, height - 1))
            color = np.clip(colors[y, x] * tint * np.random.uniform(.85, 1.15), 0, 255)
            cv2.polylines(colors, [np.rint(points).astype(np.int32)], False, color.tolist(), max(3, round(thick) + 2))
            _draw(drawn, points, thick, opaque * np.random.uniform(.8, 1))
    strands = cv2.resize(drawn, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    return strands, colors


def _draw(drawn: np.ndarray, points: np.ndarray, thick: float, opaque: float) -> None:
    """Draws a strand that becomes thinner towards its end, ``_FINE`` times larger."""
    scaled = np.rint(16 * (_FINE * (points + .5) - .5)).astype(np.int32)
    third = len(scaled) // 3
    for part, share in ((scaled[:third + 1], 1.), (scaled[third:2 * third + 1], .8), (scaled[2 * third:], .55)):
        width = _FINE * thick * share
        # Below one pixel a line cannot become thinner, only fainter.
        value = round(255 * opaque * min(1., width))
        cv2.polylines(drawn, [part], False, value, max(1, round(width)), cv2.LINE_AA, shift=4)
