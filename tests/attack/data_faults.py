"""Damage to pictures, and what a message about it has to be."""
from pathlib import Path
from typing import Any

from PIL import Image


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
