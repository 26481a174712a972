"""Seams: where tiles end, and how strong the steps there are."""
import numpy as np
import pytest

from densevit.evaluation import seam_energy, seam_lines
from densevit.inference.canvas import Canvas
from densevit.inference.task import Call, Picture, Tile
from densevit.inference.tasks.restoration import Restoration, RestorationResult
from densevit.inference.tiling import Tiling


def texture(height=256, width=320):
    image = np.random.default_rng(0).normal(128, 20, (height, width, 3))
    return np.clip(image, 0, 255).astype(np.uint8)


def joined(image, overlap, offset):
    """Tiles that differ by an offset, as the task joins them; and where they end."""
    tiling = Tiling((64, 64), overlap, False)
    corners, random = tiling.corners(image.shape[:2]), np.random.default_rng(1)
    tiles = []
    for top, left in corners:
        part = image[top:top + 64, left:left + 64]
        moved = np.clip(part + offset * random.normal(), 0, 255).astype(np.uint8)
        tiles.append(Tile(RestorationResult(part, moved), top, left))
    picture = Picture(image, Canvas.fit(image, None))
    return Restoration().merge(iter(tiles), picture, Call()).restored, seam_lines(corners, (64, 64), image.shape[:2])


def test_lines():
    rows, columns = seam_lines([(0, 0), (0, 10), (6, 0), (6, 10)], (12, 16), (18, 26), scale=2)
    assert rows.tolist() == [12, 24] and columns.tolist() == [20, 32]


def test_a_blend_without_overlap_is_seen():
    """Its energy is beyond 2 per cent of 1, that of overlapping tiles within."""
    image = texture()
    hard, hard_lines = joined(image, 0, 12)
    soft, soft_lines = joined(image, .25, 12)
    assert seam_energy(hard, *hard_lines, whole=image) > 1.02
    assert seam_energy(soft, *soft_lines, whole=image) == pytest.approx(1, abs=.02)
    assert seam_energy(image, *soft_lines, whole=image) == 1


def test_edges_of_the_picture_itself_are_no_seams():
    """Where a picture has an edge at the place of a seam, only the whole picture tells."""
    image = np.random.default_rng(0).integers(0, 9, (40, 60)).astype(np.uint16)
    image[:, 30:] += 200
    assert seam_energy(image, [], [30]) > 20
    assert seam_energy(image, [], [30], whole=image) == 1
    for lines in (([], []), (range(1, 40), range(1, 60))):
        with pytest.raises(ValueError, match='no seam'):
            seam_energy(image, *lines)
    with pytest.raises(ValueError, match='one picture'):
        seam_energy(image, [], [30], whole=image[1:])
