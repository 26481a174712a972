"""What tiles cost and spoil: memory, PSNR and seams of restoration beside pictures that are restored as a whole."""
from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from ..datasets.restoration.dataset import find_pairs
from ..evaluation.fidelity import psnr
from ..evaluation.seams import seam_energy, seam_lines
from ..images import read_image
from ..inference.predictor import Predictor
from ..inference.sources import sample_image
from ..inference.tiling import Tiling

COLUMNS = ('picture', 'tiles', 'PSNR whole', 'PSNR tiles', 'difference dB', 'seam energy')


class TileReport(NamedTuple):
    """One picture, restored as a whole and in tiles.

    Attributes:
        name: Its file.
        tiles: How many there are.
        whole, tiled: PSNR in dB by the protocol of the scale.
        seam_energy: See :func:`densevit.evaluation.seam_energy`, relative to the whole picture.
    """
    name: str
    tiles: int
    whole: float
    tiled: float
    seam_energy: float


def compare(predictor: Predictor, folder: Path, tiling: Tiling) -> Iterator[TileReport]:
    """Restore the pictures of ``LR/`` or ``lq/`` in both ways, without those that one tile holds.

    The true ones are in ``HR/`` or ``hq/``.

    Raises:
        MissingDataError: There are no such pairs.
        ValueError: One tile holds every picture.
    """
    hq, lq = (next((folder / name for name in names if (folder / name).is_dir()), folder / names[-1])
              for names in (('HR', 'hq'), ('LR', 'lq')))
    nothing = True
    for pair in find_pairs(hq, lq):
        picture = read_image(pair.lq)
        corners = tiling.corners(picture.shape[:2])
        if len(corners) == 1:
            continue
        nothing = False
        whole = predictor.predict(picture, reference=pair.hq)
        tiled = predictor.predict(picture, reference=pair.hq, tiles=tiling.size, overlap=tiling.overlap)
        lines = seam_lines(corners, tiling.tile_of(picture.shape[:2]), picture.shape[:2], whole.scale)
        yield TileReport(pair.name, len(corners), *(
            psnr(result.restored, result.reference, *result.protocol) for result in (whole, tiled)),
            seam_energy(tiled.restored, *lines, whole=whole.restored))
    if nothing:
        raise ValueError(f'{folder}: one tile of {tiling.size[0]}x{tiling.size[1]} holds every picture: give smaller '
                         'ones with --tiles')


def peak_memory(predictor: Predictor, size: tuple[int, int], tiling: Tiling) -> int:
    """Bytes at the most while a picture (H, W) is restored in tiles: of a GPU, or of all of this process until then."""
    photograph = read_image(sample_image())
    pads = [(0, max(0, length - own)) for length, own in zip(size, photograph.shape[:2], strict=True)]
    picture = np.pad(photograph, (*pads, (0, 0)), mode='symmetric')[:size[0], :size[1]]
    device = next(predictor.model.parameters()).device
    if device.type == 'cuda':
        torch.cuda.reset_peak_memory_stats(device)
    predictor.predict(picture, tiles=tiling.size, overlap=tiling.overlap)
    if device.type == 'cuda':
        return torch.cuda.max_memory_allocated(device)
    import resource  # which Windows lacks

    # Kilobytes on Linux, bytes on macOS.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == 'darwin' else 1024)


def rows(reports: Sequence[TileReport]) -> list[tuple[str, ...]]:
    """A line of text for each picture, in the order of ``COLUMNS``, and one of their means."""
    mean = TileReport('mean', round(np.mean([report.tiles for report in reports])), *(
        float(np.mean([getattr(report, name) for report in reports])) for name in TileReport._fields[2:]))
    return [(report.name, str(report.tiles), f'{report.whole:.3f}', f'{report.tiled:.3f}',
             f'{report.tiled - report.whole:+.4f}', f'{report.seam_energy:.4f}') for report in (*reports, mean)]
