"""``--data FOLDER`` of training and testing."""
from __future__ import annotations

import argparse
import os
from pathlib import Path

from mmengine.config import Config

from ..datasets.common.folders import use_folder
from ..errors import printable, shorten
from ..inference.metadata import dataset_meta
from ..registry import quiet_imports
from ..weights.reading import read_weights


def add_data_argument(parser: argparse.ArgumentParser) -> None:
    """Add the option."""
    parser.add_argument(
        '--data', metavar='FOLDER', help="a folder of yours in the place of the config's data: images/ and masks/ for "
        "semantic segmentation, images/ and depth/ for depth, images/ and alpha/ (or foregrounds/, alpha/ and "
        "backgrounds/) for matting, lq/ and hq/ for restoration; COCO's JSON and its images, or YOLO's data.yaml, for "
        "instances and boxes")


def use_data(cfg: Config, folder: str, work_dir: Path, checkpoint: str | None = None) -> None:
    """Read a folder, put it and its classes into a config, and say what was found.

    Args:
        cfg: The config, which is changed.
        folder: Where the data are.
        work_dir: The folder of the run.
        checkpoint: What is to be tested on it.

    Raises:
        ValueError: The checkpoint was trained on other classes. What ``use_folder`` raises is one, too.
    """
    with quiet_imports():  # of the packages whose data set the folder takes the place of
        facts = use_folder(cfg, folder, work_dir / 'data')
    known = dataset_meta(read_weights(checkpoint).meta).classes if checkpoint else None
    if known is not None and facts.classes and list(known) != list(facts.classes):
        raise ValueError(f'{checkpoint} was trained on the classes {shorten(known)}, and {folder} has '
                         f'{shorten(facts.classes)}: name those of the checkpoint, in their order, in its classes.txt, '
                         'one a line, in the categories of its JSON, or in names of its data.yaml')
    if os.environ.get('RANK', '0') == '0':
        print('\n'.join(map(printable, facts.lines(Path(folder)))), flush=True)
