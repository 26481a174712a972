"""Typing errors in ``--cfg-options`` and in configs, found before anything is built."""
from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from mmengine.config import Config
from mmengine.registry import Registry

from .signatures import BUILDER_KEYS, OpenNames, child_node, find_type, known_names

_COUNTS = ('train_cfg.max_iters', 'train_cfg.max_epochs', 'train_cfg.val_interval', 'train_dataloader.batch_size',
           'val_dataloader.batch_size', 'test_dataloader.batch_size')
# Dicts with a type that is not built with all of their keys: mmcv's builders take some out.
_LAYER_CFGS = ('norm_cfg', 'act_cfg', 'conv_cfg', 'upsample_cfg', 'padding_cfg', 'plugins', 'dcn')
_CHECKED = ('model', 'optim_wrapper', 'param_scheduler', 'default_hooks', 'custom_hooks', 'train_dataloader',
            'val_dataloader', 'test_dataloader', 'train_cfg', 'val_cfg', 'test_cfg', 'val_evaluator', 'test_evaluator')


class OptionError(ValueError):
    """An option or a config key that nothing takes."""


def check_options(cfg: Config, options: dict[str, Any]) -> None:
    """See that every option changes something.

    A key is known if the config has it, or if the type of the dict around it takes it; a type that is itself an
    option counts, and so does the name of a timm model.

    Args:
        cfg: The config without the options.
        options: Values by dotted keys, as of ``--cfg-options``.

    Raises:
        OptionError: A key is not known; the message has the nearest one that is.
    """
    scope = cfg.get('default_scope') or 'mmengine'
    tree = cfg.to_dict()
    for key in options:
        _check_key(tree, key, options, scope)


def _check_key(tree: Any, key: str, options: dict[str, Any], scope: str) -> None:
    node, path = tree, ()
    for part in key.split('.'):
        if isinstance(node, list | tuple):
            if not part.lstrip('-').isdigit() or not -len(node) <= int(part) < len(node):
                raise OptionError(f"'{key}': {_dotted(path)} is a list of {len(node)}; number its entries from 0")
            node, path = node[int(part)], (*path, part)
            continue
        if not isinstance(node, dict):
            if node is None:  # an argument that has no value yet takes any
                return
            raise OptionError(f"'{key}': {_dotted(path)} is {node!r} and has no '{part}'")
        chosen = {name: options[full] for name in ('type', 'name') if (full := _dotted((*path, name))) in options}
        decided = type(node)(node, **chosen)
        names = known_names(decided, path, scope)
        known = f'{_dotted((*path, part))}.type' in options or (
            part in node if names is None or path else part in names)
        if not known and not (names is not None and (part in names or isinstance(names, OpenNames))):
            raise OptionError(f"unknown option '{key}'{_meant(tree, path, part, names or frozenset(node), key)}")
        node, path = child_node(decided, part, scope), (*path, part)


def _meant(tree: dict, path: tuple[str, ...], part: str, siblings: frozenset[str], key: str) -> str:
    """The end of a message: the nearest known key, beside the unknown one or anywhere in the config."""
    siblings = sorted(siblings - {'type', '_scope_'})
    near = get_close_matches(part, siblings, 1, .6) if path or part not in tree else []
    if near:
        return f": did you mean '{_dotted((*path, near[0]))}'?"
    unread = f' (the config uses {part} only while it is read)' if not path and part in tree else ''
    effective = {'/'.join(reversed(name.split('.'))): name for name in all_keys(tree)
                 if name.partition('.')[0] in known_names(tree, (), '') and not name[-1].isdigit()}
    name = key.rpartition('.')[2]
    ends = [full for back, full in effective.items() if back.partition('/')[0] == name] or [
        full for full in effective.values() if full in get_close_matches(key, effective.values(), 1, .6)] or [
        full for full in effective.values() if name.endswith(f'_{full.rpartition(".")[2]}')]
    if ends:
        return f"{unread}: did you mean '{min(ends, key=lambda full: full.count('.'))}'?"
    return f"{unread}; {_dotted(path) or 'the config'} takes {', '.join(siblings)}"


def all_keys(node: Any, prefix: str = '') -> Iterator[str]:
    """All dotted keys of a nested config."""
    entries = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in entries:
        yield f'{prefix}{key}'
        yield from all_keys(value, f'{prefix}{key}.')


def check_config(cfg: Config) -> None:
    """See that every key of the config's typed dicts is an argument of its type.

    Types that nothing registers, and those with a **kwargs that cannot be followed, are left to their builders, and
    so are models of other packages, some of which take keys out of their configs before they call a constructor.

    Raises:
        OptionError: A key is not; the message has the nearest argument. Or a length or a batch size is no number of
            iterations or images.
    """
    for key in _COUNTS:
        holder, name = key.split('.')
        value = (cfg.get(holder) or {}).get(name)
        if value is not None and (not isinstance(value, int) or value < 1):
            raise OptionError(f'{key}={value!r}: give a whole number from 1 on')
    scope = cfg.get('default_scope') or 'mmengine'
    for name in _CHECKED:
        _check_node(cfg.to_dict().get(name), (name, ), scope)


def _check_node(node: Any, path: tuple[str, ...], scope: str) -> None:
    if isinstance(node, list | tuple):
        for index, value in enumerate(node):
            _check_node(value, (*path, str(index)), scope)
    if not isinstance(node, dict):
        return
    scope = node.get('_scope_', scope)
    if isinstance(node.get('type'), str):
        _check_typed(node, path, scope)
    for key in node:
        if not key.endswith(_LAYER_CFGS) and key != 'transforms':
            _check_node(child_node(node, key, scope), (*path, key), scope)


def _check_typed(node: dict, path: tuple[str, ...], scope: str) -> None:
    target = node['type']
    if target.startswith('densevit.') and find_type(target, scope) is None:
        raise OptionError(f"{_dotted(path)}: there is no type '{target}'{_nearest_type(target)}")
    if f'densevit.{target}' in _own_types() and find_type(target, scope) is None:
        raise OptionError(f"{_dotted(path)}: there is no type '{target}': did you mean 'densevit.{target}'?")
    names = known_names(node, path, scope)
    if names is None or isinstance(names, OpenNames) or (path[0] == 'model' and not target.startswith('densevit.')):
        return
    for key in node:
        if key not in names:
            near = get_close_matches(key, sorted(names - {'type'}), 1, .5)
            hint = (f"did you mean '{near[0]}'?" if near else
                    'it takes ' + ', '.join(sorted(names - BUILDER_KEYS)))
            raise OptionError(f"{_dotted((*path, key))}: {target} does not take '{key}'; {hint}")


def _own_types() -> list[str]:
    from .. import registry
    return [f'densevit.{name}' for child in vars(registry).values() if isinstance(child, Registry)
            for name in child.module_dict]


def _nearest_type(target: str) -> str:
    near = get_close_matches(target, _own_types(), 1)
    return f": did you mean '{near[0]}'?" if near else ''


def _dotted(path: tuple[str, ...]) -> str:
    return '.'.join(path)
