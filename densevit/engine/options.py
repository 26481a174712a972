"""Typing errors: those in ``--cfg-options`` before anything is built, those in a config where its building fails."""
from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from typing import Any

from mmengine import registry as registries
from mmengine.config import Config
from mmengine.registry import Registry
from mmengine.runner import FlexibleRunner, Runner

_COUNTS = ('train_cfg.max_iters', 'train_cfg.max_epochs', 'train_cfg.val_interval', 'train_dataloader.batch_size',
           'val_dataloader.batch_size', 'test_dataloader.batch_size')


class OptionError(ValueError):
    """An option or a config key that nothing takes."""


def check_options(cfg: Config, options: dict[str, Any]) -> None:
    """See that every option changes something: the config has its key, or the type of the dict around it takes it.

    What cannot be told passes, for its builder to refuse: only a key that is near to one that is known is taken for a
    typing error.

    Args:
        cfg: The config without the options.
        options: Values by dotted keys, as of ``--cfg-options``.

    Raises:
        OptionError: A key is not known; the message has the nearest one that is.
    """
    tree, scope = cfg.to_dict(), cfg.get('default_scope') or 'mmengine'
    for key in options:
        _check_key(tree, key, options, scope)


def check_counts(cfg: Config) -> None:
    """See that lengths and batch sizes are numbers of iterations or images: ``max_iters=1e3`` is none.

    Raises:
        OptionError: One is not.
    """
    for key in _COUNTS:
        holder, name = key.split('.')
        value = (cfg.get(holder) or {}).get(name)
        if value is not None and (not isinstance(value, int) or value < 1):
            raise OptionError(f'{key}={value!r}: give a whole number from 1 on')


def _check_key(tree: dict[str, Any], key: str, options: dict[str, Any], scope: str) -> None:
    _check_top_level(tree, key)
    node, path = tree, ''
    for part in key.split('.'):
        if isinstance(node, list | tuple):
            if not part.lstrip('-').isdigit() or not -len(node) <= int(part) < len(node):
                raise OptionError(f"'{key}': {path} is a list of {len(node)}; number its entries from 0")
            node = node[int(part)]
        elif isinstance(node, dict):
            kind = options.get(f'{path}.type') or node.get('type') if path else _runner_of(tree)
            kind = find_type(kind, node.get('_scope_', scope)) if isinstance(kind, str) else kind
            known, closed = arguments(kind) if callable(kind) else (frozenset(), False)
            if part not in node and part not in known and (
                    near := get_close_matches(part, {*known, *node} - {'type'}, 1, .75 if closed else .85)):
                raise OptionError(f"unknown option '{key}': did you mean '{_joined(path, near[0])}'?")
            node = node.get(part)
        elif node is None:  # an argument that has no value yet takes any
            return
        else:
            raise OptionError(f"'{key}': {path} is {node!r} and has no '{part}'")
        path = _joined(path, part)


def _check_top_level(tree: dict[str, Any], key: str) -> None:
    """Variables of a config have been read by now, and a last part alone is no key."""
    first, _, rest = key.partition('.')
    taken = arguments(_runner_of(tree))[0]
    if first in taken:
        return
    read = dict(entry for name in tree if name in taken for entry in entries(tree[name], name))
    if first in tree:
        value = tree[first]
        uses = [] if value in (None, True, False) else [path for path, other in read.items() if other == value]
        if uses:
            path = next((path for path in uses if path.endswith(f'.{first}')), uses[0])
            raise OptionError(f"unknown option '{key}' (the config uses {first} only while it is read): did you mean "
                              f"'{_joined(path, rest)}'?")
    elif ends := [path for path in read if path.endswith(f'.{key}')]:
        raise OptionError(f"unknown option '{key}': did you mean '{min(ends, key=lambda path: path.count('.'))}'?")


def _runner_of(tree: dict[str, Any]) -> type:
    return FlexibleRunner if tree.get('runner_type') == 'FlexibleRunner' else Runner


@cache
def find_type(name: str, scope: str) -> Callable | None:
    """The class or function that a config's ``type`` names, in any registry; None if there is none."""
    with suppress(ImportError):
        import_module(f'{scope}.registry')
    for registry in vars(registries).values():
        if isinstance(registry, Registry):
            with suppress(ImportError, AttributeError):  # of a package that is not installed
                found = registry.children.get(scope, registry).get(name)
                if found is not None:
                    return found
    return None


@cache
def arguments(function: Callable) -> tuple[frozenset[str], bool]:
    """Names of the arguments of a class or function, and whether these are all that it takes.

    A ``**kwargs`` is followed through the constructors of the base classes.
    """
    names: set[str] = set()
    is_class = inspect.isclass(function)
    for init in [vars(cls).get('__init__') for cls in function.__mro__] if is_class else [function]:
        if init is None:
            continue
        try:
            parameters = inspect.signature(init).parameters.values()
        except (TypeError, ValueError):
            return frozenset(names), False
        names.update(each.name for each in parameters if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY))
        if not any(each.kind is each.VAR_KEYWORD for each in parameters):
            return frozenset(names - {'self'}), True
    return frozenset(names - {'self'}), False


def entries(node: Any, path: str = '') -> Iterator[tuple[str, Any]]:
    """All values of a nested config with their dotted keys."""
    yield path, node
    for key, value in (node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()):
        yield from entries(value, _joined(path, key))


@contextmanager
def explained(cfg: Config) -> Iterator[None]:
    """Say of an unknown argument or type, at which a building fails, where the config has it and what is near.

    Raises:
        OptionError: In the place of the builder's error, if the config tells where it comes from.
    """
    try:
        yield
    except (TypeError, KeyError) as error:
        hint = _hint(str(error), [entry for entry in entries(cfg.to_dict()) if isinstance(entry[1], dict)])
        if hint is None:
            raise
        raise OptionError(hint) from error


def _hint(text: str, nodes: Iterable[tuple[str, dict[str, Any]]]) -> str | None:
    if unexpected := re.search(r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'", text):
        owner, name = unexpected.groups()
        holders = [(path, node) for path, node in nodes if name in node]
        typed = [entry for entry in holders if str(entry[1].get('type')).rpartition('.')[2] == owner]
        path, node = next(iter(typed or holders), (None, {}))
        kind = next((vars(module)[owner] for module in [*sys.modules.values()]
                     if inspect.isclass(getattr(module, '__dict__', {}).get(owner))), None)
        if path is None or kind is None:
            return None
        names = sorted(arguments(kind)[0] - {'type'})
        near = get_close_matches(name, names, 1, .5)
        return (f"{_joined(path, name)}: {node.get('type', owner)} does not take '{name}'; "
                + (f"did you mean '{near[0]}'?" if near else f'it takes {", ".join(names)}'))
    if absent := re.match(r"['\"]?([\w.]+) is not in the \S+ registry", text):
        name = absent.group(1)
        path = next((path for path, node in nodes if node.get('type') == name), None)
        if path is not None:
            near = get_close_matches(name, _own_types(), 1)
            return f"{path}: there is no type '{name}'" + (f": did you mean '{near[0]}'?" if near else '')
    return None


def _own_types() -> list[str]:
    from .. import registry
    return [f'densevit.{name}' for child in vars(registry).values() if isinstance(child, Registry)
            for name in child.module_dict]


def _joined(path: str, part: Any) -> str:
    return '.'.join(filter(None, (path, str(part))))
