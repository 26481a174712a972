"""What a command accepts in the place of a file: the name of a known model, or of a config."""
from __future__ import annotations

import os
from difflib import get_close_matches
from pathlib import Path

from ..registry import config_file
from ..weights import zoo

_PARENT = Path(__file__).parents[2]
# The folder that holds configs/ and data/ beside the package; None where the package alone is installed.
CHECKOUT = _PARENT if (_PARENT / 'tools' / 'train.py').is_file() else None


def find_config(name: str) -> str:
    """The path of a config, its name as in ``_base_`` (``densevit::...``), or a name of the zoo as a path.

    A file of the checkout is found from other folders, too. What is found nowhere is given back as it is: whoever
    reads it knows what to say.

    Raises:
        ValueError: A name without folder and suffix is neither in the zoo nor that of exactly one config.
    """
    if '::' in name or os.path.isfile(name):
        return name
    if not is_name(name):
        beside = CHECKOUT and CHECKOUT / name
        return str(beside) if beside and beside.is_file() else name
    if name in zoo.names():
        return str(config_file(f'densevit::{zoo.entry(name).config}'))
    known = _configs()
    found = [path for path in known if path.stem == name]
    if len(found) == 1:
        return str(found[0])
    if found:
        raise ValueError(f'{len(found)} configs are named {name}: give the path of one, {" or ".join(map(str, found))}')
    near = get_close_matches(name, [*zoo.names(), *(path.stem for path in known)], 1)
    raise ValueError(f'no config is named {name}{f": did you mean {near[0]}?" if near else ""} (give a file, '
                     'densevit::NAME as in _base_, or a name that densevit models lists)')


def known_model(config: str) -> str | None:
    """The model of the zoo whose config a path or ``densevit::...`` is; None for others."""
    path = config_file(config)
    for name in zoo.names():
        if path.stem == name and path.is_file() and config_file(f'densevit::{zoo.entry(name).config}').samefile(path):
            return name
    return None


def find_checkpoint(name: str | None, base: str | None = None) -> tuple[str | None, str | None]:
    """A checkpoint and the weights that it is a difference to; a name of the zoo stands for both.

    A path is given back as it is, whether or not there is a file.

    Raises:
        ValueError: There is neither a file nor a model of this name.
        WeightsNotFoundError: The weights of the zoo cannot be downloaded; the message says what to do.
    """
    if name is None or os.path.exists(name) or not is_name(name):
        return name, base
    item = zoo.entry(name)
    found = zoo.find_base(item, base)
    return str(zoo.find_weights(item)), None if found is None else str(found)


def is_name(text: str) -> bool:
    """Whether a text is a name and no path: without a folder and a suffix."""
    return os.path.basename(text) == text and not os.path.splitext(text)[1] and '/' not in text


def _configs() -> list[Path]:
    folders = (_PARENT / 'configs', Path(__file__).parents[1] / '.mim' / 'configs')
    folder = next((folder for folder in folders if folder.is_dir()), folders[1])
    return sorted(path for path in folder.rglob('*.py') if '_base_' not in path.relative_to(folder).parts)
