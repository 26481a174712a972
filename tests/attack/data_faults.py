"""Damage to pictures, what a message about it has to be, and a way to try many faults of a kind in one test."""
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image


def try_each(faults: Mapping[str, Any], clean: Path, folder: Path, check: Callable[[Path, Any], None]) -> None:
    """Check each fault on a copy of its own of the data; the faults that failed are listed together."""
    failed = {}
    for index, (name, fault) in enumerate(faults.items()):
        try:
            check(shutil.copytree(clean, folder / f'copy_{index}'), fault)
        except (Exception, pytest.fail.Exception) as error:
            failed[name] = f'{type(error).__name__}: {error}'
    assert not failed


def one_line(caught: Any) -> str:
    """The message, which is one line and ends with a remedy."""
    text = str(caught.value)
    assert '\n' not in text and ': ' in text and 'BytesIO' not in text and len(text) < 500
    return text


def turn(path: Path, orientation: int) -> None:
    """Write a picture again with an EXIF orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.open(path).save(path, exif=exif)


def truncate(path: Path) -> None:
    """Leave the first half of a file."""
    path.write_bytes(path.read_bytes()[:len(path.read_bytes()) // 2])
