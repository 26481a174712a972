"""Tensors under a model's names, made to fit the model."""
from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F
from timm.layers import resize_rel_pos_bias_table
from torch import Tensor

from ..layers import resize_patch_embed, resize_pos_embed
from .load_report import Shape
from .reading import State

PatchResize = Literal['pinv', 'bilinear', 'bicubic']
_REL_POS = re.compile(r'blocks\.\d+\.attn\.rel_pos_[hw]')
_BIAS_TABLE = re.compile(r'(rel_pos_bias|blocks\.\d+\.attn)\.relative_position_bias_table')
# Where a trunk has none: tokens that keep_prefix=False removes, the norm that norm_out=False does.
_REMOVED = (re.compile(r'(cls|reg)_token'), re.compile(r'norm\.(weight|bias)'))
# Follows from the sizes.
_INDEX = re.compile(r'.*relative_position_index')
_GLOBAL_POSITIONS = 'global_pos_embed'
_BLOCK = re.compile(r'blocks\.(\d+)\.')
_QKV_BIAS = re.compile(r'blocks\.\d+\.attn\.[qkv]_bias')


@dataclass(frozen=True)
class TrunkSizes:
    """What of a trunk decides how its tensors are resized.

    Attributes:
        prefix: What stands before the trunk's names in the model's.
        grid: Patches (h, w) of its position embedding.
        num_prefix_positions: Entries of the position embedding that belong to no patch.
        pos_embed_options: Options of :func:`densevit.layers.resize_pos_embed`.
        patch_resize: Method of :func:`densevit.layers.resize_patch_embed`.
        square_source: Whether a checkpoint's position embedding that could be square is; all published ones are.
        cut_blocks: Blocks that the trunk was built without, for nothing reads them.
    """
    prefix: str
    grid: tuple[int, int]
    num_prefix_positions: int = 0
    pos_embed_options: dict[str, bool | float | str] = field(default_factory=dict)
    patch_resize: PatchResize = 'pinv'
    square_source: bool = True
    cut_blocks: range = range(0)


@dataclass
class Fit:
    """How a checkpoint and a model go together.

    Attributes:
        tensors: What can be loaded as it is.
        resized: Name to the shape in the checkpoint and the shape in the model.
        misfits: The same of tensors that cannot be resized.
        zeroed: Names in the model of biases that the checkpoint's attention does not have, and of global positions
            beside those of a window.
        left: Names in the checkpoint that would change nothing.
        unexpected: Names in the checkpoint that the model does not have.
        missing: Names in the model that the checkpoint does not have.
    """
    tensors: State = field(default_factory=dict)
    resized: dict[str, tuple[Shape, Shape]] = field(default_factory=dict)
    misfits: dict[str, tuple[Shape, Shape]] = field(default_factory=dict)
    zeroed: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def fit(state: State, model_state: State, trunk: TrunkSizes | None) -> Fit:
    """Compare and resize; nothing is written to the model.

    Position embeddings, patch embeddings and relative positions are resized; nothing else. Positions go to the grid
    that the trunk stores, be it a window's. What ``PlainViT`` was told to remove from its trunk is left.

    Args:
        state: The checkpoint's tensors under the model's names.
        model_state: The model's own.
        trunk: None for a model without a plain ViT that could be resized.
    """
    result = Fit()
    if trunk:
        state = _without_prefix_positions(state, model_state, trunk)
    for name, tensor in state.items():
        if name in model_state:
            _fit_tensor(name, tensor, model_state[name], trunk, result)
        elif trunk and _has_no_use(name.removeprefix(trunk.prefix), tensor, model_state, trunk):
            result.left.append(name)
        else:
            result.unexpected.append(name)
    absent = [name for name in model_state if name not in state and not _is_count_of_frozen(name, state)]
    biases = [name for name in absent if trunk and _QKV_BIAS.fullmatch(name.removeprefix(trunk.prefix))]
    if biases and not any(_QKV_BIAS.fullmatch(name.removeprefix(trunk.prefix)) for name in state):
        result.zeroed = biases
    if trunk:
        result.zeroed += [name for name in absent if name == trunk.prefix + _GLOBAL_POSITIONS]
    result.tensors.update((name, torch.zeros_like(model_state[name])) for name in result.zeroed)
    result.missing = [name for name in absent if name not in set(result.zeroed)]
    return result


def _is_count_of_frozen(name: str, state: State) -> bool:
    """Whether it counts the batches of a norm that the checkpoint's code had frozen, and so did not count."""
    return name.endswith('.num_batches_tracked') and name.replace('num_batches_tracked', 'running_mean') in state


def _has_no_use(name: str, tensor: Tensor, model_state: State, trunk: TrunkSizes) -> bool:
    """Whether a trunk without this tensor computes what it would with it, or was told to do without."""
    if (block := _BLOCK.match(name)) and int(block[1]) in trunk.cut_blocks:
        return True
    if _QKV_BIAS.fullmatch(name):
        return not tensor.any()
    if _INDEX.fullmatch(name):
        return True
    for removed in _REMOVED:
        if removed.fullmatch(name):
            return not any(removed.fullmatch(own.removeprefix(trunk.prefix)) for own in model_state)
    return False


def _without_prefix_positions(state: State, model_state: State, trunk: TrunkSizes) -> State:
    """For a trunk without class and register tokens, the positions of patches alone."""
    name = trunk.prefix + 'pos_embed'
    tokens, _ = _REMOVED
    if name not in state or state[name].dim() != 3 or any(
            tokens.fullmatch(own.removeprefix(trunk.prefix)) for own in model_state):
        return state
    num_tokens = sum(tensor.shape[1] for key, tensor in state.items()
                     if tokens.fullmatch(key.removeprefix(trunk.prefix)))
    num_prefix = state[name].shape[1] - math.isqrt(state[name].shape[1])**2
    if num_prefix not in (1, num_tokens):
        return state
    return dict(state, **{name: state[name][:, num_prefix:]})


def _fit_tensor(name: str, tensor: Tensor, own: Tensor, trunk: TrunkSizes | None, result: Fit) -> None:
    shapes = tuple(tensor.shape), tuple(own.shape)
    resized = tensor
    if trunk and name.startswith(trunk.prefix):
        resized = _resize(name.removeprefix(trunk.prefix), tensor, own, trunk)
    if resized is None or resized.shape != own.shape:
        result.misfits[name] = shapes
        return
    result.tensors[name] = resized
    if resized is not tensor:
        result.resized[name] = shapes


def _resize(name: str, tensor: Tensor, own: Tensor, trunk: TrunkSizes) -> Tensor | None:
    """The tensor in the model's shape; None if it cannot be resized."""
    if name == 'pos_embed':
        return _resize_positions(tensor, own, trunk)
    if tensor.shape == own.shape:
        return tensor
    if name.startswith('patch_embed.') and tensor.dim() == own.dim() == 4 and tensor.shape[1] == 3 < own.shape[1]:
        # What a trunk, or its stem, sees beside colours, a trimap or a distance, says nothing at first.
        tensor = F.pad(tensor, (0, 0, 0, 0, 0, own.shape[1] - tensor.shape[1]))
        if tensor.shape == own.shape:
            return tensor
    if name == 'patch_embed.proj.weight' and tensor.dim() == own.dim() == 4 and tensor.shape[:2] == own.shape[:2]:
        return resize_patch_embed(tensor, tuple(own.shape[-2:]), trunk.patch_resize)
    if _BIAS_TABLE.fullmatch(name) and tensor.shape[1:] == own.shape[1:]:
        return _resize_bias_table(tensor, own, trunk.grid)
    if _REL_POS.fullmatch(name) and tensor.shape[1:] == own.shape[1:]:
        return F.interpolate(tensor.float().t()[None], len(own), mode='linear')[0].t().to(tensor.dtype)
    return None


def _resize_positions(tensor: Tensor, own: Tensor, trunk: TrunkSizes) -> Tensor | None:
    """(1, P + h * w, D), or (1, h, w, D) in SAM, which may get those of a plain ViT without prefix."""
    if tensor.dim() == 3 and own.dim() == 4 and (side := math.isqrt(tensor.shape[1]))**2 == tensor.shape[1]:
        tensor = tensor.unflatten(1, (side, side))
    if tensor.dim() != own.dim() or tensor.shape[-1] != own.shape[-1]:
        return None
    if tensor.dim() == 4:
        if tensor.shape == own.shape:
            return tensor
        return resize_pos_embed(tensor.flatten(1, 2), trunk.grid, tuple(tensor.shape[1:3]),
                                **trunk.pos_embed_options).reshape(own.shape)
    side = math.isqrt(max(tensor.shape[1] - trunk.num_prefix_positions, 0))
    is_square = side > 0 and side * side + trunk.num_prefix_positions == tensor.shape[1]
    if tensor.shape == own.shape and not (is_square and trunk.square_source):
        return tensor  # as long as the model's, and nothing says that its sides differ
    if not is_square:
        return None
    return resize_pos_embed(tensor, trunk.grid, (side, side), trunk.num_prefix_positions, **trunk.pos_embed_options)


def _resize_bias_table(tensor: Tensor, own: Tensor, grid: tuple[int, int]) -> Tensor | None:
    """BEiT's table, which covers a square grid in published checkpoints, on timm's geometric scale."""
    try:
        return resize_rel_pos_bias_table(tensor, grid, tuple(own.shape))
    except ValueError:  # of no square
        return None
