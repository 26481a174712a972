"""timm's models by name, and errors that say what to do."""
from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

import timm
from torch import nn

# SegFormer's encoders (arXiv:2105.15203), which timm builds and does not name: PVT v2 (arXiv:2106.13797) of the same
# number, whose first stages have twice as wide an MLP.
_MIX_TRANSFORMER = re.compile(r'mit_b([0-5])')
_UNKNOWN_OPTION = re.compile(r"(\w+)(?:\.__init__)?\(\) got an unexpected keyword argument '(\w+)'")


def create(name: str, pretrained: bool, **kwargs: Any) -> nn.Module:
    """``timm.create_model`` whose errors say what to do, and which knows SegFormer's ``mit_b0`` to ``mit_b5``.

    Raises:
        ValueError: timm has no such model, or none with such weights, or its ``checkpoint_path`` would run code.
        OSError: Its weights cannot be downloaded.
    """
    if timm_name(name) != name:
        if pretrained:
            raise ValueError(f"timm has no weights of {name}: set pretrained=False, and give the backbone "
                             "init_cfg=dict(type='Pretrained', checkpoint=...) with a file or address of its own")
        name, kwargs = timm_name(name), {'mlp_ratios': (4, 4, 4, 4), **kwargs}
    if not timm.is_model(name):
        near = get_close_matches(name, timm.list_models(), 5, cutoff=.5)
        raise ValueError(f"timm has no model '{name}'" + (f'; near it are {", ".join(near)}' if near else ''))
    try:
        return timm.create_model(name, pretrained=pretrained, **kwargs)
    except OSError as error:
        if not pretrained:
            raise
        raise OSError(f'the weights of {name} could not be downloaded ({type(error).__name__}); set pretrained=False '
                      '(--cfg-options model.backbone.pretrained=False, or model.backbone.vit.pretrained=False under '
                      'an adapter) to start from random weights, or fill the cache of huggingface_hub where there '
                      'is a network') from error
    except RuntimeError as error:
        if 'weights_only' in str(error):
            raise ValueError(f"checkpoint_path='{kwargs.get('checkpoint_path')}' is a pickle that holds more than "
                             'weights, which could run any code and was not opened; where you trust it, save the '
                             "weights alone, torch.save(model.state_dict(), 'weights.pth')") from error
        if 'pretrained tag' not in str(error):
            raise
        model, _, tag = name.partition('.')
        tags = ', '.join(timm.list_models(f'{model}.*', pretrained=True))
        raise ValueError(f"timm's {model} has no weights '{tag}'; there are {tags or 'none: leave out the tag'}"
                         ) from error


def timm_name(name: str) -> str:
    """Under which name timm builds a model: its own, but for ``mit_b0`` to ``mit_b5``."""
    return _MIX_TRANSFORMER.sub(r'pvt_v2_b\1', name) if _MIX_TRANSFORMER.fullmatch(name) else name


def defined_in(name: str) -> str:
    """The module of ``timm.models`` that defines a model: ``'swin_transformer'``; empty if timm has no such model."""
    name = timm_name(name)
    return timm.model_entrypoint(name).__module__.rpartition('.')[2] if timm.is_model(name) else ''


@contextmanager
def near_options(backbone: type[nn.Module], *trunks: Callable[..., nn.Module]) -> Iterator[None]:
    """While a trunk is built: an option that it does not have is told with those that are spelt like it.

    Args:
        backbone: Whose own options are known.
        trunks: The classes that the trunk may be of.

    Raises:
        TypeError: There is no such option.
    """
    try:
        yield
    except TypeError as error:
        match = _UNKNOWN_OPTION.search(str(error))
        if match is None:
            raise
        owners = [backbone, *(cls for cls in trunks if cls.__name__ == match[1])]
        known = {name for cls in owners for name in inspect.signature(cls.__init__).parameters}
        near = get_close_matches(match[2], sorted(known), 3)
        raise TypeError(f"{backbone.__name__} has no option '{match[2]}', nor has its trunk, a {match[1]} of timm"
                        + (f'; near it are {", ".join(near)}' if near else '')) from error
