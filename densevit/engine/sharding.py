"""What PyTorch's FullyShardedDataParallel has to know about our models."""
from __future__ import annotations

from timm.models.eva import EvaBlock, EvaBlockPostNorm
from timm.models.vision_transformer import Block
from torch import Size, nn
from torch.distributed.fsdp import FullyShardedDataParallel

WRAPPED = '_fsdp_wrapped_module.'


def wrap_transformer_blocks(module: nn.Module, recurse: bool, nonwrapped_numel: int) -> bool:
    """An ``auto_wrap_policy``: each Transformer block is a unit, all the rest belongs to the outermost one.

    A unit has its parameters only while its ``forward`` runs, and of a plain ViT we call no other module's.
    """
    return recurse or isinstance(module, (Block, EvaBlock, EvaBlockPostNorm))


def whole_shapes(model: nn.Module) -> dict[str, Size]:
    """Shapes of all parameters by name, also of those of which this process has only a flat piece."""
    shapes = {name.replace(WRAPPED, ''): parameter.shape for name, parameter in model.named_parameters()}
    for prefix, module in model.named_modules():
        handle = getattr(module, '_handle', None)
        if isinstance(module, FullyShardedDataParallel) and handle is not None:
            for name, shape in zip(handle.flat_param._fqns, handle.flat_param._shapes, strict=True):
                shapes['.'.join(filter(None, (prefix.replace(WRAPPED, '').rstrip('.'), name)))] = shape
    return shapes
