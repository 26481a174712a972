"""Registries with scope ``densevit``.

They are children of mmengine's root, so that ``type='densevit.PlainViT'`` is found from any OpenMMLab config with no
``custom_imports``: mmengine imports ``densevit.registry`` at the first look-up of the scope, and ``locations`` is
imported at the first look-up of a name; of data and metrics, where tasks need packages of their own, only what has that
name.
"""
from __future__ import annotations

import io
import json
import os
import re
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import Any

import yaml
from mmengine import registry as root
from mmengine.config import Config
from mmengine.config import utils as config_utils
from mmengine.utils import import_modules_from_strings

from .errors import one_line


class LazyRegistry(root.Registry):
    """A registry that imports what has the name that is looked up, and nothing else.

    Args:
        locations: Packages that list their names in ``__all__`` and import each when it is first used.
        args, kwargs: See :class:`mmengine.registry.Registry`.
    """

    def __init__(self, *args: Any, locations: Sequence[str], **kwargs: Any) -> None:
        super().__init__(*args, locations=list(locations), **kwargs)
        self.packages = tuple(locations)

    def get(self, key: str) -> type | None:
        """The class of a name, None if there is none."""
        for package in map(import_module, self.packages):
            if isinstance(key, str) and (name := key.removeprefix(f'{self.scope}.')) in package.__all__:
                getattr(package, name)  # registers itself
        return super().get(key)

    @property
    def module_dict(self) -> dict[str, type]:
        """All names, for which everything is imported."""
        for package in map(import_module, self.packages):
            for name in package.__all__:
                getattr(package, name)
        return super().module_dict


MODELS = root.Registry('model', parent=root.MODELS, scope='densevit', locations=['densevit.models'])
DATASETS = LazyRegistry('dataset', parent=root.DATASETS, scope='densevit', locations=['densevit.datasets'])
DATA_SAMPLERS = LazyRegistry(
    'data sampler', parent=root.DATA_SAMPLERS, scope='densevit', locations=['densevit.datasets'])
TRANSFORMS = LazyRegistry('transform', parent=root.TRANSFORMS, scope='densevit', locations=['densevit.datasets'])
METRICS = LazyRegistry('metric', parent=root.METRICS, scope='densevit', locations=['densevit.evaluation'])
MODEL_WRAPPERS = root.Registry(
    'model_wrapper', parent=root.MODEL_WRAPPERS, scope='densevit', locations=['densevit.engine'])
HOOKS = root.Registry('hook', parent=root.HOOKS, scope='densevit', locations=['densevit.engine'])
LOOPS = root.Registry('loop', parent=root.LOOPS, scope='densevit', locations=['densevit.engine'])
OPTIM_WRAPPERS = root.Registry(
    'optimizer wrapper', parent=root.OPTIM_WRAPPERS, scope='densevit', locations=['densevit.engine'])
OPTIM_WRAPPER_CONSTRUCTORS = root.Registry(
    'optimizer wrapper constructor',
    parent=root.OPTIM_WRAPPER_CONSTRUCTORS,
    scope='densevit',
    locations=['densevit.engine'])
VISUALIZERS = root.Registry('visualizer', parent=root.VISUALIZERS, scope='densevit', locations=['densevit.engine'])
PARAM_SCHEDULERS = root.Registry(
    'parameter scheduler', parent=root.PARAM_SCHEDULERS, scope='densevit', locations=['densevit.engine'])

_CONFIGS = Path(__file__).parent / '.mim' / 'configs'

# albumentations, which mmseg, mmdet and our data sets import, asks PyPI for its newest version as it is imported.
os.environ.setdefault('NO_ALBUMENTATIONS_UPDATE', '1')

# mmengine keeps a closed list of packages whose configs `_base_ = 'package::...'` may name.
config_utils.MODULE2PACKAGE.setdefault('densevit', 'densevit')
# mmengine finds a package by the name under which pip knows it, which differs between the original packages and the
# maintained fork, or by the name under which Python imports it.
config_utils.MODULE2PACKAGE['mmseg'] = 'mmseg'


def config_file(name: str | os.PathLike) -> Path:
    """The file of a config that is named as in ``_base_``: ``'densevit::tiny/eomt_tiny_camvid.py'``, or by its path.

    A path is given back as it is, whether or not there is a file. One of our configs that lies in no folder is found
    here, though not in a ``_base_``: mmengine asks for a folder.

    Raises:
        FileNotFoundError: the package has no such config or is not known or installed; the message names what is near.
    """
    text = os.fspath(name)
    package, separator, path = text.partition('::')
    if not separator:
        return Path(text)
    if package == 'densevit' and (_CONFIGS / path).is_file():
        return _CONFIGS / path
    try:
        return Path(Config._get_cfg_path(text, '')[0])
    except (OSError, ImportError, ValueError, AssertionError) as error:
        near = _near_config(path) if package == 'densevit' else None
        hint = f'did you mean {near}?' if near else 'check the name'
        raise FileNotFoundError(f'{text}: no such config ({" ".join(str(error).split())}); {hint}') from error


def _near_config(path: str) -> str | None:
    """A config of ours in a folder that has this name or one that is near, as ``_base_`` takes it."""
    known = [file.relative_to(_CONFIGS).as_posix() for file in sorted(_CONFIGS.glob('*/*.py'))]
    near = [name for name in known if name.endswith(f'/{path}')] or get_close_matches(path, known, 1)
    return f'densevit::{near[0]}' if near else None


def read_config(path: str | os.PathLike) -> Config:
    """A config from its file.

    A ``.py`` config is code, which runs. YAML and JSON are read as data, where mmengine lets YAML call any function.
    But a config of any kind names what is built, so it has to come from where it is trusted. ``custom_imports`` finds
    packages that lie beside the config: its folder is put at the end of Python's path.

    Raises:
        ValueError: The config is broken. Of YAML and JSON: it asks for Python's objects, or has a ``_base_``.
    """
    path = Path(path)
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)
    try:
        return _read_data(path) if path.suffix in ('.yaml', '.yml', '.json') else Config.fromfile(path)
    except Exception as error:  # whatever the code of a config raises
        reason = one_line(error, limit=400)
        # mmengine does not say which name it is that has no folder.
        if '_get_package_and_cfg_path' in reason and (bare := re.search(r'densevit::(\w+\.py)', path.read_text())):
            reason = f'write _base_ with its folder in the place of {bare[0]}: {_near_config(bare[1])}'
        raise ValueError(f'{path} is not a valid config: {reason}') from error


def _read_data(path: Path) -> Config:
    text = path.read_text(encoding='utf-8')
    content = json.loads(text) if path.suffix == '.json' else yaml.safe_load(text)
    if not isinstance(content, dict):
        raise ValueError(f'it holds a {type(content).__name__} and no keys')
    if '_base_' in content:
        raise ValueError('_base_ is for .py configs')
    if 'custom_imports' in content:
        import_modules_from_strings(**content['custom_imports'])
    return Config(content, filename=str(path))


class _Printed:
    """What is printed while it is entered, shared by threads: the stream is put back when the last of them leaves."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._users = 0

    def __enter__(self) -> None:
        with self._lock:
            if not self._users:
                self._stream, self._kept = sys.stdout, io.StringIO()
                sys.stdout = self._kept
            self._users += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._users -= 1
            if self._users:
                return
            stream, kept = self._stream, self._kept
            sys.stdout = stream
        for line in kept.getvalue().splitlines(keepends=True):
            if not line.startswith('Could not import OneDL'):
                stream.write(line)


_printed = _Printed()


def quiet_imports() -> AbstractContextManager[None]:
    """Leave out what OpenMMLab's packages print of a part that is not public; what else is printed comes afterwards."""
    return _printed
