"""Folders of one's own for depth: images, and a file of depth for each."""
from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..common.folders import IMAGE_SUFFIXES, FolderError, FolderFacts, FolderReader, split_of
from ..common.paired_folders import Pair, left_out, listed, pair_files, split_folders, with_validation
from .camera import as_camera
from .depth_files import SUFFIXES, DepthFileError, read_depth

IMAGE_FOLDERS, DEPTH_FOLDERS = ('images', 'imgs', 'rgb', 'image'), ('depth', 'depths', 'groundtruth_depth')
PLAUSIBLE = (.1, 200.)  # metres; a median outside is of another unit
_ENDS = ('', '_depth')  # of the name of a depth behind that of its image
_NYU_IMAGE = re.compile(r'rgb_(\d+)$')
_KITTI_DRIVE = re.compile(r'\d{4}_\d\d_\d\d_drive_\d{4}_sync$')
_LOOKED_AT = 50  # files, for the unit and the farthest metre
_LAYOUT = ('images/ and depth/ with files of the same names (PNG of 16 bits, .npy or .pfm; or train/ and val/ in each, '
           "or in the place of images/ and depth/), NYUv2's rgb_00001.jpg beside sync_depth_00001.png, or KITTI's "
           'proj_depth/groundtruth and raw drives')


class Layout(NamedTuple):
    """How a folder lies.

    Attributes:
        title: In a few words.
        pairs: By split; under None where nothing divides them.
        scale: Values of 16-bit files per metre.
        farthest: Metres up to which errors are counted by those who publish; None where nobody does.
        alone: Files of depth that belong to no image.
    """
    title: str
    pairs: dict[str | None, list[Pair]]
    scale: float
    farthest: float | None = None
    alone: Sequence[Path] = ()


class DepthFolder(FolderReader):
    """Images and depth.

    Depth is PNG or TIFF of 16 bits, ``.npy`` or ``.pfm`` in metres; what is at most 0 or no number is not known. An
    optional ``depth.json`` tells ``{"scale": 256, "camera": 520}``: the values of 16-bit files per metre, 1000 without,
    and the focal length in pixels, ``[fx, fy, cx, cy]`` or K of all images, or such values by image name.
    """

    def read(self, folder: Path, dataset: Mapping[str, Any], scratch: Path) -> FolderFacts:
        settings = _settings(folder)
        layout = find_layout(folder)
        scale = float(settings.get('scale', layout.scale))
        pairs, division = _divided(layout.pairs, folder)
        cameras = settings.get('camera')
        farthest, notes = _look(pairs['train'], scale, folder)
        if layout.alone:
            notes.append(f'depth without an image is left out: {len(layout.alone)} files, as {layout.alone[0]}')
        if isinstance(cameras, dict):
            notes += _camera_notes(cameras, [pair for each in pairs.values() for pair in each])
        notes += left_out(folder)
        datasets, files = {}, {}
        for split, each in pairs.items():
            lines = [_line(pair, cameras) for pair in each]
            files[f'{split}.txt'] = '\n'.join(lines).encode('utf-8', 'surrogateescape')
            datasets[split] = dict(
                type='densevit.DepthDataset', data_root=str(folder), ann_file=str((scratch / f'{split}.txt').resolve()),
                depth_scale=scale, metainfo=dict(max_depth=layout.farthest or farthest))
            if cameras is not None and not isinstance(cameras, dict):
                datasets[split]['camera'] = cameras
        return FolderFacts(layout.title, datasets, {split: len(each) for split, each in pairs.items()}, division,
                           notes=notes, files=files)

    def dataset(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
        return {key: old[key] for key in ('pipeline', 'test_mode', 'serialize_data', 'max_refetch') if key in old} | new

    def evaluator(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
        """The config's metric without the crop of another data set, up to the metres that there are."""
        if old['type'].rpartition('.')[2] != 'DepthErrorMetric':
            return dict(old)
        return dict(old, crop='none', max_depth=new['metainfo']['max_depth'])


READERS = {'densevit.DepthDataset': DepthFolder()}


def find_layout(folder: Path) -> Layout:
    """The images of a folder with their depth.

    Raises:
        FolderError: It is of no known layout, or an image has no depth.
    """
    parts = split_folders(folder, IMAGE_FOLDERS, DEPTH_FOLDERS, 'depth')
    if parts:
        pairs = {split: pair_files(*part, SUFFIXES, _ENDS, 'depth') for split, part in parts.items()}
        paired = {pair.partner for each in pairs.values() for pair in each}
        alone = [path for _, depths in parts.values() for path in sorted(depths.rglob('*'))
                 if path.suffix.lower() in SUFFIXES and not path.name.startswith('.') and path not in paired]
        return Layout('images and depth', pairs, 1000., alone=alone)
    if kitti := _kitti(folder):
        return Layout("KITTI's raw drives and annotated depth", kitti, 256., 80.)
    if nyu := _nyu(folder):
        return Layout("NYUv2's scenes", nyu, 1000., 10.)
    raise FolderError(f'{folder} holds no depth in {_LAYOUT}: it has '
                      f'{", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"}')


def _nyu(folder: Path) -> dict[str | None, list[Pair]]:
    """Frames of BTS' form of NYUv2, by the split in their path."""
    found: dict[str | None, list[Pair]] = {}
    for image in sorted(folder.rglob('rgb_*')):
        if image.suffix.lower() in IMAGE_SUFFIXES and (number := _NYU_IMAGE.search(image.stem)):
            depth = image.with_name(f'sync_depth_{number[1]}.png')
            if depth.exists():
                name = image.relative_to(folder)
                split = next(filter(None, map(split_of, name.parts[:-1])), None)
                found.setdefault(split, []).append(Pair(name.with_suffix('').as_posix(), image, depth))
    return _undivided_is_train(found)


def _kitti(folder: Path) -> dict[str | None, list[Pair]]:
    """Frames of the raw data for which KITTI's depth benchmark has annotated depth, by its train and val."""
    drives = {drive.name: drive for drive in folder.rglob('*_sync')
              if _KITTI_DRIVE.fullmatch(drive.name) and (drive / 'image_02' / 'data').is_dir()}
    found: dict[str | None, list[Pair]] = {}
    for depth in sorted(folder.rglob('proj_depth/groundtruth/image_0[23]/*.png')):
        drive, camera = depth.parents[3], depth.parent.name
        source = drives.get(drive.name)
        image = source and next((path for suffix in ('.png', '.jpg') if (
            path := source / camera / 'data' / f'{depth.stem}{suffix}').exists()), None)
        if image:
            split = next(filter(None, map(split_of, drive.relative_to(folder).parts[:-1])), None)
            found.setdefault(split, []).append(Pair(f'{drive.name}/{camera}/{depth.stem}', image, depth))
    return _undivided_is_train(found)


def _undivided_is_train(found: dict[str | None, list[Pair]]) -> dict[str | None, list[Pair]]:
    """What no folder calls train or val is for training where others are called so."""
    if None in found and len(found) > 1:
        found['train'] = found.get('train', []) + found.pop(None)
    return found


def _divided(pairs: dict[str | None, list[Pair]], folder: Path) -> tuple[dict[str, list[Pair]], str]:
    """Pairs by split, and where the split comes from."""
    division = 'in folders of their own'
    if None in pairs:
        pairs, division = listed(pairs[None], folder)
    if 'val' not in pairs and 'test' in pairs:  # as those do who publish on NYUv2, which has no other split
        pairs = dict(pairs, val=pairs['test'])
        division = f'{division}; those to test on validate, too'
    return with_validation(pairs, folder, division)


def _settings(folder: Path) -> dict[str, Any]:
    path = folder / 'depth.json'
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
        scale, camera = content.get('scale', 1), content.get('camera')
        if not float(scale) > 0:
            raise ValueError(f'scale {scale} is not above 0')
        for each in camera.values() if isinstance(camera, dict) else () if camera is None else (camera, ):
            as_camera(each, (1, 1))
    except (ValueError, TypeError, AttributeError) as error:
        raise FolderError(f'{path} cannot be read ({error}): write {{"scale": 1000, "camera": [fx, fy, cx, cy]}}, or '
                          'one of the two') from error
    return content


def _names_of(pair: Pair) -> tuple[str, str]:
    """By which the camera of an image may be told."""
    return pair.name, pair.image.name


def _camera_notes(cameras: Mapping[str, Any], pairs: Sequence[Pair]) -> list[str]:
    names = {name for pair in pairs for name in _names_of(pair)}
    lost = [name for name in cameras if name not in names]
    without = [pair.name for pair in pairs if not any(name in cameras for name in _names_of(pair))]
    notes = [f'depth.json tells the camera of {len(lost)} names that are no image here, as {lost[0]}'] if lost else []
    if without:
        notes.append(f'depth.json tells no camera of {len(without)} of {len(pairs)} images, as {without[0]}: a model '
                     'that needs one presumes the angle fov of its test_cfg')
    return notes


def _line(pair: Pair, cameras: Any) -> str:
    """A line of a list that the dataset reads."""
    words = [str(pair.image), str(pair.partner)]
    for word in words:
        if any(mark in word for mark in '\t\n\r'):
            raise FolderError(f'the name {word} has a tab or a line break, which divide lists of files: rename it')
    if isinstance(cameras, dict):
        value = next((cameras[name] for name in _names_of(pair) if name in cameras), None)
        if value is not None:
            numbers = np.asarray(value, np.float64)
            words.append(','.join(f'{number:.10g}' for number in (
                as_camera(value, (1, 1)) if numbers.shape == (3, 3) else np.atleast_1d(numbers))))
    return '\t'.join(words)


def _look(pairs: Sequence[Pair], scale: float, folder: Path) -> tuple[float, list[str]]:
    """The farthest metre of some images, and what is to be said of them."""
    medians, farthest = [], []
    for depth in _some_depths(pairs, scale):
        known = depth[depth > 0]
        if len(known):
            medians.append(float(np.median(known)))
            farthest.append(float(known.max()))
    if not medians:
        raise FolderError(f'no pixel of the depth in {folder} is above 0 among {min(len(pairs), _LOOKED_AT)} files: '
                          'see what wrote them')
    median = float(np.median(medians))
    notes = [f'half of the depth is nearer than {median:.3g} m, all of it than {max(farthest):.3g} m, with '
             f'{scale:g} values a metre in 16-bit files']
    if not PLAUSIBLE[0] <= median <= PLAUSIBLE[1]:
        notes.append(f'{median:.3g} m is hardly what was meant: tell the unit in {folder / "depth.json"}, such as '
                     '{"scale": 1000} for millimetres or {"scale": 256} for KITTI; .npy and .pfm hold metres')
    # Ground truth must lie below what errors are counted up to.
    return float(np.ceil(max(farthest) * 1.01)), notes


def _some_depths(pairs: Sequence[Pair], scale: float) -> Iterator[np.ndarray]:
    chosen = np.unique(np.linspace(0, len(pairs) - 1, min(len(pairs), _LOOKED_AT)).astype(int))
    for index in chosen:
        try:
            yield read_depth(pairs[index].partner, scale)
        except DepthFileError as error:
            raise FolderError(str(error)) from error
