"""``--data FOLDER`` of training and testing."""
from __future__ import annotations

import argparse
import os
from pathlib import Path

from mmengine.config import Config

from ..datasets.common.folders import use_folder
from ..errors import printable


def add_data_argument(parser: argparse.ArgumentParser) -> None:
    """Add the option."""
    parser.add_argument(
        '--data', metavar='FOLDER', help="a folder of yours in the place of the config's data: images/ and masks/ for "
        "semantic segmentation, COCO's JSON and its images for instances and boxes")


def use_data(cfg: Config, folder: str, work_dir: Path) -> None:
    """Read a folder, put it and its classes into a config, and say what was found."""
    facts = use_folder(cfg, folder, work_dir / 'data')
    if os.environ.get('RANK', '0') == '0':
        print('\n'.join(map(printable, facts.lines(Path(folder)))), flush=True)
