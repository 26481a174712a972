"""Where data sets lie, and what of them is missing, told from a config before anything is built."""
from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

SPLITS = ('train', 'val', 'test')
HELP = 'data/README.md describes the layouts'


class MissingDataError(FileNotFoundError):
    """A data set, or a file that it names, is not where the config says."""


def data_folders(checkout: Path | None = None) -> list[Path]:
    """Folders that stand for ``data`` in a config's paths, in the order in which they are searched.

    ``$DENSEVIT_DATA``, then ``data`` of the current folder and of the checkout.
    """
    named, here = os.environ.get('DENSEVIT_DATA'), Path('data')
    elsewhere = checkout is not None and checkout.resolve() != Path.cwd()
    return [*([Path(named).expanduser()] if named else []), here, *([checkout / 'data'] if elsewhere else [])]


def resolve(path: str, folders: Sequence[Path]) -> str:
    """A path that begins with ``data/``, in the first folder that has it; another path, or one found nowhere, as is."""
    head, _, tail = str(path).removeprefix('./').partition('/')
    if head != 'data' or not tail:
        return path
    for folder in folders:
        if (folder / tail).exists():
            return str(folder / tail)
    return path


def resolve_data_roots(cfg: Any, folders: Sequence[Path]) -> None:
    """Replace, in place, the data paths of all dataloaders and evaluators by where the data is."""
    for split in SPLITS:
        for part in ('dataloader', 'evaluator'):
            _resolve_strings(cfg.get(f'{split}_{part}'), folders)


def _resolve_strings(node: Any, folders: Sequence[Path]) -> None:
    entries = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in entries:
        if isinstance(value, str):
            node[key] = resolve(value, folders)
        else:
            _resolve_strings(value, folders)


def datasets_of(cfg: Any, splits: Sequence[str] = SPLITS) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every dataset config without wrappers around it, with the key that leads to it."""
    for split in splits:
        loader = cfg.get(f'{split}_dataloader')
        if loader:
            yield from _unwrapped(f'{split}_dataloader.dataset', loader.get('dataset'))


def _unwrapped(key: str, dataset: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    if not isinstance(dataset, dict):
        return
    if 'dataset' in dataset:
        yield from _unwrapped(f'{key}.dataset', dataset['dataset'])
    elif 'datasets' in dataset:
        for index, part in enumerate(dataset['datasets']):
            yield from _unwrapped(f'{key}.datasets.{index}', part)
    else:
        yield key, dataset


def check_data_roots(cfg: Any, folders: Sequence[Path], splits: Sequence[str] = SPLITS) -> None:
    """Look for the folders and annotation files of all datasets.

    Raises:
        MissingDataError: One is missing; the message says where it belongs.
    """
    for key, dataset in datasets_of(cfg, splits):
        for path in _paths(dataset):
            if not os.path.exists(path):
                raise MissingDataError(_where_it_belongs(key, dataset, path, folders))


def _paths(dataset: dict[str, Any]) -> Iterator[str]:
    root = dataset.get('data_root') or ''
    if root:
        yield root
    parts = [dataset.get('ann_file'), *(dataset.get('data_prefix') or {}).values()]
    for part in parts:
        if isinstance(part, str) and part and '://' not in part:
            yield os.path.join(root, part)


def _where_it_belongs(key: str, dataset: dict[str, Any], path: str, folders: Sequence[Path]) -> str:
    root = str(dataset.get('data_root') or '')
    if path != root:
        return f'{path} is missing, which {key} names; {HELP}'
    head, _, tail = root.removeprefix('./').partition('/')
    if head != 'data' or not tail:
        return f'the data of {key} is not there: put it at {root}, or set {key}.data_root; {HELP}'
    searched = ', '.join(str(folder) for folder in folders)
    return (f'the data of {key} is not there: put it at {root}, or set DENSEVIT_DATA to a folder that contains '
            f'{tail.rstrip("/")} (searched {searched}); {HELP}')
