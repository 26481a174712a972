"""Names of any known code base to those of the model, by the readers in ``names/``.

A network is read by the functions that its file in ``names/`` decorates with :func:`reads` or :func:`reads_head`. They
are looked up along the network's classes, so that no table lists them.
"""
from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, NamedTuple

from torch import nn

from .load_report import Shape, WeightsError
from .lora import split_adapters
from .reading import State
from .renaming import common_prefix, only_prefix, split_prefix

OURS = 'densevit'  # what reports call our names,
OWN = "the model's own"  # and those of a model, ours or another


@dataclass
class Translated:
    """A checkpoint under the model's names.

    Attributes:
        naming: What reports call the names it had.
        state: Tensors under the model's names.
        left: Names of the checkpoint that no part of the model needs.
        unfilled: Beginnings of names that the model keeps as they are: an adapter's, if the checkpoint is a plain ViT;
            norms of maps, if it has none.
        complete: Makes ``state`` whole where it holds differences to other weights: a function of it and of those
            weights, or None where the user gave none, which raises a WeightsError that says which weights to give.
        check: Raises a WeightsError where the tensors mean something else than their names say: a function of the
            checkpoint's ``meta`` (:class:`.reading.Checkpoint`).
    """
    naming: str
    state: State
    left: list[str] = field(default_factory=list)
    unfilled: tuple[str, ...] = ()
    complete: Callable[[State, State | None], State] | None = None
    check: Callable[[Mapping[str, Any]], None] | None = None


class HeadAndBackbone(NamedTuple):
    """A checkpoint of a network around a backbone.

    Attributes:
        naming: What reports call the names of the head.
        head: Tensors beside the backbone, under the network's names.
        backbone: Tensors of the backbone under names of its own, which its own reader knows.
        left: Names of the checkpoint that are not needed.
    """
    naming: str
    head: State
    backbone: State
    left: list[str]


# Both give None where the names are of no code base that they know.
Reader = Callable[[State, nn.Module], Translated | None]
HeadReader = Callable[[State], HeadAndBackbone | None]
_readers: dict[type[nn.Module], list[Reader]] = defaultdict(list)


def reads(*classes: type[nn.Module]) -> Callable[[Reader], Reader]:
    """Decorate a function that reads official checkpoints of these classes and of those that derive from them.

    ::

        @reads(MyNet)
        def read_my_net(state: State, module: MyNet) -> Translated | None:
            if 'my_head.weight' not in state:
                return None
            renamed, left = rename(state, ((r'my_head\\.(.+)', r'head.\\1'), (r'ema\\..+', None)))
            return Translated("the authors' MyNet", renamed, left)

    It gets the tensors of a checkpoint and the network to be filled, changes neither, and returns None for names that
    it does not know. A class may have several readers: the one that was given last is asked first, so that a reader
    may go before those of a file that it imports; then those of its base classes are asked, in the order of
    ``type(module).__mro__``. A checkpoint under the model's own names needs no reader.

    The files of the folder ``names/`` are found by themselves. A network from elsewhere may be decorated too, in any
    file that is imported before the checkpoint is loaded; the file of the network itself will do.
    """
    def add(reader: Reader) -> Reader:
        for cls in classes:
            _readers[cls].insert(0, reader)
        return reader

    return add


def reads_head(*classes: type[nn.Module]) -> Callable[[HeadReader], HeadReader]:
    """Decorate a function that reads a network around any ``module.backbone``, whose reader reads the rest.

    The function gets the tensors of a checkpoint alone; else as :func:`reads`.
    """
    def add(read: HeadReader) -> HeadReader:
        @reads(*classes)
        def reader(state: State, module: nn.Module) -> Translated | None:
            found = read(state)
            return found and read_around(found, module)

        return read

    return add


def read_around(found: HeadAndBackbone, module: nn.Module) -> Translated:
    """A network's tensors under our names together with those of its backbone under any names.

    Raises:
        WeightsError: The backbone's names are not known.
    """
    inner = translate(found.backbone, module.backbone)
    state = {**{f'backbone.{name}': tensor for name, tensor in inner.state.items()}, **found.head}
    unfilled = tuple(f'backbone.{name}' for name in inner.unfilled)
    return Translated(f'{found.naming} around {inner.naming}', state, [*found.left, *inner.left], unfilled)


def translate(state: State, module: nn.Module, base: State | None = None) -> Translated:
    """Names of the model from whatever names the checkpoint has.

    Args:
        state: Tensors of the checkpoint.
        module: What is to be filled.
        base: The weights that a checkpoint of differences refers to.

    Raises:
        WeightsError: The names are not known, or ``base`` is lacking or in vain.
    """
    translated = _recognise(state, module)
    if translated.complete is not None:
        return replace(translated, state=translated.complete(translated.state, base), complete=None)
    if base is not None:
        raise WeightsError('this checkpoint is complete and refers to no base weights; leave out base=')
    return translated


def _recognise(state: State, module: nn.Module) -> Translated:
    own, _ = split_adapters(module.state_dict())
    prefix = common_prefix(state, list(own)) if own else None
    whole = None if prefix is None else Translated(OWN, *split_prefix(state, prefix))
    readers = _readers_of(module)
    if whole and (not readers or _shapes(whole.state) == _shapes(own)):
        return whole
    found = next(filter(None, (reader(state, module) for reader in readers)), None)
    if translated := found or whole or _mostly_own(state, own):
        return translated
    if not readers:
        return Translated(OWN, state)
    raise WeightsError(f'its names ({", ".join(list(state)[:3])} ...) fit no {type(module).__name__} known here; if it '
                       'is of another network, give it with its own config, or else rename them to those of timm or to '
                       f"the model's own, such as {next(iter(own))}")


def _readers_of(module: nn.Module) -> list[Reader]:
    _import_names()
    return [reader for cls in type(module).__mro__ for reader in _readers.get(cls, ())]


@cache
def _import_names() -> None:
    """Import all files of ``names/``: at the first translation, because they import the networks of all tasks."""
    names = import_module('.names', __package__)
    for file in iter_modules(names.__path__, f'{names.__name__}.'):
        import_module(file.name)


def _mostly_own(state: State, own: State) -> Translated | None:
    """A checkpoint of the model with other options (blocks, layers), so that what differs can be told.

    None for other names.

    Raises:
        WeightsError: It holds several of them.
    """
    places = Counter(name[:start] for name in state for start in (0, *(dot.end() for dot in re.finditer(r'\.', name)))
                     if name[start:] in own)
    prefix = only_prefix([prefix for prefix, count in places.items() if 2 * count > len(own)])
    return None if prefix is None else Translated(OWN, *split_prefix(state, prefix))


def _shapes(state: State) -> dict[str, Shape]:
    return {name: tuple(tensor.shape) for name, tensor in state.items()}
