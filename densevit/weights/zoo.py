"""The models known by name, from the table ``zoo.yml``: their configs and where their weights are."""
from __future__ import annotations

import difflib
import hashlib
import json
import logging
import os
import textwrap
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import constants, hf_hub_download

from .load_report import WeightsError, WeightsNotFoundError
from .reading import local_file

BUNDLED = Path(__file__).parent / 'bundled'


@dataclass(frozen=True)
class ZooEntry:
    """A known model.

    Attributes:
        name: The name in ``densevit.load(name)``.
        config: Path below ``configs/``.
        file: Name of the weights in the package or in the repository; or their URL.
        task: ``'semantic'``, ``'instance'``, ``'panoptic'``, ``'detection'``, ``'depth'`` or ``'restoration'``.
        license: Terms of the weights.
        repo_id: Repository on huggingface.co, if they are there.
        base_repo_id: Repository of the backbone that the weights are differences to.
    """
    name: str
    config: str
    file: str
    task: str
    license: str
    repo_id: str | None = None
    base_repo_id: str | None = None

    @property
    def is_bundled(self) -> bool:
        """Whether its weights are in the package."""
        return self.repo_id is None and not self.file.startswith('https://')

    @property
    def terms(self) -> str:
        """What must be known before the weights are used for money; empty where the license leaves that free."""
        if '-NC' in self.license or self.license.startswith('for research'):
            return f'the weights of {self.name} are licensed {self.license}, which forbids commercial use'
        if self.license == 'not stated':
            return (f'the weights of {self.name} are published without a licence: ask their authors before you use '
                    'them commercially')
        return ''


@cache
def collections() -> dict[str, dict[str, Any]]:
    """The table ``zoo.yml``: of each method its paper and the rows of its configs, also those without weights."""
    text = (Path(__file__).parent / 'zoo.yml').read_text(encoding='utf-8')
    return yaml.load(text, getattr(yaml, 'CSafeLoader', yaml.SafeLoader))


@cache
def _entries() -> dict[str, ZooEntry]:
    rows = [row for collection in collections().values() for row in collection['models'] if 'weights' in row]
    found = map(_entry, rows)
    return {item.name: item for item in sorted(found, key=lambda item: not item.is_bundled)}


def _entry(row: dict[str, Any]) -> ZooEntry:
    name, weights, repo_id = Path(row['config']).stem, row['weights'], None
    if weights == 'bundled':
        file = f'{name}.safetensors'
    elif weights.startswith('https://'):
        file = weights
    else:
        file, repo_id = 'pytorch_model.bin', weights
    return ZooEntry(name, row['config'], file, row['task'], row['license'], repo_id, row.get('base'))


def names() -> list[str]:
    """All known models, those in the package first."""
    return list(_entries())


def entry(name: str) -> ZooEntry:
    """The model of this name.

    Raises:
        ValueError: There is none; the message names the nearest.
    """
    known = _entries()
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1, cutoff=.5)
    hint = f" did you mean '{near[0]}'?" if near else ''
    raise ValueError(f"no model is named '{name}';{hint} known are {', '.join(known)}")


def find_weights(item: ZooEntry) -> Path:
    """The weights of a model: in the package, from the hub, or from a URL; both keep what was downloaded.

    Terms that forbid commerce are logged, once in a process.

    Raises:
        WeightsNotFoundError: There are none, or they cannot be downloaded; the message says what to do.
        WeightsError: The file in the package is not the one that was published.
    """
    if item.is_bundled:
        path = _bundled(item)
    else:
        path = local_file(item.file) if item.repo_id is None else _from_hub(item.name, item.repo_id, item.file)
    if item.terms:
        _tell(item.terms)
    return path


@cache
def _tell(terms: str) -> None:
    logging.getLogger(__name__).warning(terms)  # a line on the error stream, unless the program does logging its way


def find_base(item: ZooEntry, base: str | os.PathLike | None = None) -> Path | None:
    """The backbone's weights that a model's weights are differences to; None for a model that needs none.

    Raises:
        WeightsNotFoundError: There are none, or they cannot be downloaded; the repositories of DINOv3 ask to accept its
            licence first.
    """
    if base is not None or item.base_repo_id is None:
        return None if base is None else Path(base).expanduser()
    return _from_hub(item.name, item.base_repo_id, 'model.safetensors', argument='base')


def model_card(name: str) -> dict[str, Any]:
    """What a model in the package was trained on and how, and what it reaches.

    ``['metrics']`` are in [0, 1]: ``mIoU``, or ``AP`` and ``AP50``.

    Raises:
        ValueError: No model of this name.
        FileNotFoundError: The model has no card in the package.
    """
    path = BUNDLED / f'{entry(name).name}.json'
    if not path.is_file():
        raise FileNotFoundError(f'{name} has no card in {path.parent}; the models in the package have one, for others '
                                'see the header of the config')
    return json.loads(path.read_text(encoding='utf-8'))


def file_sha256(path: Path) -> str:
    """The digest that tells a published file from a damaged one."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _bundled(item: ZooEntry) -> Path:
    path = BUNDLED / item.file
    if not path.is_file():
        raise WeightsNotFoundError(f'{item.name}: {path} is missing; install densevit again, or train with '
                                   f'python tools/train.py configs/{item.config}')
    card = path.with_suffix('.json')
    digest = json.loads(card.read_text(encoding='utf-8')).get('sha256') if card.is_file() else None
    if digest is not None and digest != file_sha256(path):
        raise WeightsError(f'{path}: not the file that was published (its sha256 differs); install densevit again')
    return path


def _from_hub(name: str, repo_id: str, file: str, argument: str = 'weights') -> Path:
    try:
        return Path(hf_hub_download(repo_id, file))
    except OSError as error:  # offline, not there, or not permitted: all errors of the hub are OSErrors
        reason = textwrap.shorten(str(error), 160, placeholder=' ...')
        raise WeightsNotFoundError(
            f'{name}: {file} of {repo_id} is not in the cache {constants.HF_HUB_CACHE} and could not be downloaded '
            f'({type(error).__name__}: {reason}); download {constants.ENDPOINT}/{repo_id}/resolve/main/{file} '
            f'where the hub can be reached, and give that file as {argument}= (--{argument})') from error
