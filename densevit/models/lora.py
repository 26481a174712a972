"""Fine-tuning of a backbone by low-rank adapters: LoRA (arXiv:2106.09685), with the layers of peft.

A linear layer W of shape (out, in) stays as it is and gets B A beside it, A of shape (r, in) and B of shape (out, r)::

    y = W x + b + alpha / r * B A x                                          (section 4.1, equation 3)

B begins at zero, so that the model begins as it was. Only A and B learn; the gradients and the optimizer's moments of
the backbone, which are three times its weights, are not there at all.
"""
from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from ..adapters.adapter import Adapter
from ..backbones import Backbone

TARGETS = ('attn', 'mlp')


def add_lora(
    backbone: Backbone,
    r: int = 16,
    alpha: float = 32.,
    dropout: float = 0.,
    targets: Sequence[str] = TARGETS,
) -> None:
    """Freeze a backbone and give linear layers of its blocks low-rank adapters that learn.

    Layers of stages that ``frozen_stages`` names get none, so that nothing of these stages is kept for the backward
    pass. What an adapter such as ViT-Adapter adds to its ViT, and the norms of maps, learn as they do without.

    Args:
        backbone: A backbone with its weights, or one that is filled by :func:`densevit.load_weights` afterwards.
        r: Rank of the adapters.
        alpha: They are scaled by ``alpha / r``. Twice the rank, as is usual.
        dropout: Probability with which a number of the input of A is left out in training.
        targets: Parts of the names of the layers that get one: ``'attn'``, ``'mlp'``, ``'qkv'``, ``'mlp.fc1'`` ... By
            default all of attention and MLPs, which adapts better than attention alone (arXiv:2305.14314, section 4);
            ``('attn', )`` keeps far fewer activations.

    Raises:
        ImportError: peft is not installed.
        ValueError: A number makes no sense, or there is no layer of such a name.
    """
    if not isinstance(r, int) or r < 1 or not alpha > 0 or not 0 <= dropout < 1:
        raise ValueError(f'lora=dict(r={r}, alpha={alpha}, dropout={dropout}): r is a whole number from 1 on, alpha '
                         'above 0, dropout in [0, 1)')
    if isinstance(targets, str):
        raise ValueError(f"lora.targets is a list of names, not the text '{targets}'")
    try:
        from peft import LoraConfig, inject_adapter_in_model
        from peft.tuners.lora import Linear

        from .lora_layer import ADAPTER, AdaptedLinear
    except ImportError as error:
        raise ImportError("lora=dict(...) needs peft: pip install 'peft>=0.19'") from error
    learning = [parameter for name, parameter in backbone.named_parameters()
                if parameter.requires_grad and backbone.stage_index(name) is None]
    layers = adapted_layers(backbone, targets)
    inject_adapter_in_model(
        LoraConfig(r=r, lora_alpha=alpha, lora_dropout=dropout, target_modules=layers), backbone, ADAPTER)
    for module in backbone.modules():
        if isinstance(module, Linear):
            module.__class__ = AdaptedLinear
            module.begin()
    for parameter in learning:  # peft froze all that is none of its own
        parameter.requires_grad_(True)
    _keep_statistics(backbone)


def adapted_layers(backbone: Backbone, targets: Sequence[str]) -> list[str]:
    """Names of the linear layers that ``targets`` mean, of stages that are not frozen.

    Raises:
        ValueError: There is none for one of them.
    """
    # Of other classes, such as that of PyTorch's MultiheadAttention, the weight is read and nothing is called.
    linears = [name for name, module in backbone.named_modules()
               if type(module) is nn.Linear and (backbone.stage_index(name) or 0) > max(backbone.frozen_stages, 0)]
    for target in targets:
        if not any(_is_in(target, name) for name in linears):
            kinds = sorted({'.'.join(name.split('.')[-2:]) for name in linears})
            raise ValueError(f"lora.targets has '{target}', and no linear layer that may learn is called so; there "
                             f'are {", ".join(kinds) or "none at all: see frozen_stages, or take a transformer"}')
    return [name for name in linears if any(_is_in(target, name) for target in targets)]


def _is_in(target: str, name: str) -> bool:
    return f'.{target}.' in f'.{name}.'


def _keep_statistics(backbone: Backbone) -> None:
    """What has no adapter does not change in train mode either: batch norms, and all of the embedding or stem."""
    trunk = backbone.vit if isinstance(backbone, Adapter) else backbone
    trunk.frozen_stages = max(trunk.frozen_stages, 0)
    trunk.norm_eval = True
    backbone.train(backbone.training)

