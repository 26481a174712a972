"""Position embeddings of existing checkpoints, made fit for windows (absolute win, arXiv 2311.05613)."""
from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from ..backbones.hiera_positions import split_pos_embed
from ..files import write_atomic
from ..layers import absolute_window_pos_embed, resize_pos_map
from .load_report import WeightsError
from .reading import State

_PREFIX_TOKENS = ('cls_token', 'reg_token', 'register_tokens', 'storage_tokens', 'dist_token')


@dataclass(frozen=True)
class Converted:
    """A checkpoint with the positions of a window.

    Attributes:
        state: Its tensors; all but the positions are those that were given.
        name: The name of the position embedding.
        done: What was done, in one line.
        residual: Share of a decomposed embedding that window and global part do not give, in [0, 1]; 0 otherwise.
    """
    state: State
    name: str
    done: str
    residual: float = 0.


def convert_plain_vit(
    state: State,
    window: int,
    global_grid: int | None = None,
    antialias: bool = True,
) -> Converted:
    """Positions of one window for a plain ViT, as ``pos_embed='tile'`` and ``'absolute_window'`` need them.

    Positions of the window's own grid are kept; others are resized once, to the window and not to any image.

    Args:
        state: Tensors by name, among them one ``pos_embed``: (1, prefix + s * s, D), or (1, h, w, D) in SAM.
        window: Side of the window in tokens.
        global_grid: Side of the global positions of absolute win, which start at zero; None for none.
        antialias: See :func:`densevit.layers.resize_pos_embed`.

    Raises:
        WeightsError: There are no such positions, or they are of no square grid.
    """
    name = _position_name(state)
    pos_embed = state[name]
    if pos_embed.dim() not in (3, 4):
        raise WeightsError(f'{name} has {pos_embed.dim()} dimensions; that of a plain ViT has 3 (4 in SAM). A Hiera is '
                           'decomposed with --decompose')
    num_prefix = _num_prefix(state, name)
    maps = _as_maps(pos_embed, num_prefix)
    resized = resize_pos_map(maps, (window, window), antialias)
    patches = resized.permute(0, 2, 3, 1)
    own = patches if pos_embed.dim() == 4 else torch.cat((pos_embed[:, :num_prefix], patches.flatten(1, 2)), dim=1)
    converted = dict(state, **{name: own.contiguous()})
    h, w = maps.shape[-2:]
    done = (f'{name}: the positions of {h}x{w} tokens are those of the window, kept' if (h, w) == (window, window) else
            f'{name}: {h}x{w} tokens resized once to a window of {window}x{window}')
    if global_grid is not None:
        beside = name.removesuffix('pos_embed') + 'global_pos_embed'
        if beside in state:
            raise WeightsError(f'the checkpoint has {beside} already; it was converted before')
        converted[beside] = pos_embed.new_zeros(1, pos_embed.shape[-1], global_grid, global_grid)
        done += f'; {beside}: {global_grid}x{global_grid} zeros'
    return Converted(converted, name, done)


def decompose_positions(pos_embed: Tensor, window: int, global_grid: int) -> tuple[Tensor, Tensor, float]:
    """Split positions that were learned for a whole image into those of a window and global ones.

    The window part is the mean over windows of what deviates from the mean position; the global part is what remains,
    averaged over areas. No paper gives a recipe for this.

    Args:
        pos_embed: (1, C, h, w), of whole windows.
        window: Side of the window in tokens.
        global_grid: Side of the global positions.

    Returns:
        The window part (1, C, window, window), the global part (1, C, global_grid, global_grid), and the share of the
        embedding's norm that their sum does not give, in [0, 1].

    Raises:
        WeightsError: The grid is not of whole windows.
    """
    h, w = pos_embed.shape[-2:]
    if h % window or w % window:
        raise WeightsError(f'positions of {h}x{w} tokens do not divide into windows of {window}; choose another')
    global_part, window_part = split_pos_embed(pos_embed, (window, window), (global_grid, global_grid))
    rebuilt = absolute_window_pos_embed(window_part, global_part, (h, w), antialias=False)
    return window_part, global_part, ((rebuilt - pos_embed).norm() / pos_embed.norm()).item()


def convert_hiera(state: State, window: int = 8, global_grid: int = 7) -> Converted:
    """The positions of a pretrained Hiera as ``pos_embed`` (global) and ``pos_embed_window``, SAM 2's names.

    Args:
        state: Tensors by name, among them one ``pos_embed`` (1, s * s, C) of the first stage (56x56 for 224 pixels).
        window: Side of the windows of the first stage, in tokens.
        global_grid: Side of the global positions.

    Raises:
        WeightsError: There are no such positions, or they do not divide into windows.
    """
    name = _position_name(state)
    beside = name + '_window'
    if beside in state or state[name].dim() != 3:
        raise WeightsError(f'{name} is {tuple(state[name].shape)}; a pretrained Hiera has (1, tokens, channels), and '
                           f'no {beside} before it is decomposed')
    maps = _as_maps(state[name], 0)
    window_part, global_part, residual = decompose_positions(maps.float(), window, global_grid)
    dtype, (h, w) = state[name].dtype, maps.shape[-2:]
    done = (f'{name}: {h}x{w} tokens decomposed into a window of {window}x{window} and a global part of '
            f'{global_grid}x{global_grid}; {residual:.1%} of its norm is lost')
    return Converted(dict(state, **{name: global_part.to(dtype), beside: window_part.to(dtype)}), name, done, residual)


def check_output(output: Path) -> None:
    """Before any work: whether a converted checkpoint may be written there.

    Raises:
        WeightsError: The file exists, or its name tells no format.
    """
    if output.exists():
        raise WeightsError(f'{output} exists and is not overwritten; give another name or remove it')
    if output.suffix not in ('.safetensors', '.pth', '.pt'):
        raise WeightsError(f'{output}: a checkpoint is written as .safetensors or .pth; give a name that ends so')


def write_converted(converted: Converted, output: Path) -> None:
    """Write the tensors to a new file, whole or not at all.

    Raises:
        WeightsError: The file exists, or its name tells no format.
        OSError: The disk is full or the folder cannot be written.
    """
    check_output(output)
    tensors = {name: tensor.contiguous().clone() for name, tensor in converted.state.items()}
    if output.suffix == '.safetensors':
        write_atomic(save(tensors, metadata=dict(format='pt')), output)
    else:
        buffer = io.BytesIO()
        torch.save(tensors, buffer)
        write_atomic(buffer.getvalue(), output)


def _position_name(state: State) -> str:
    names = [name for name in state if name == 'pos_embed' or name.endswith('.pos_embed')]
    if len(names) != 1:
        raise WeightsError(f'it has {len(names)} tensors named pos_embed' + (f' ({", ".join(names)})' if names else '')
                           + '; a trunk with learned positions, under the names of timm or of this package, has one')
    return names[0]


def _num_prefix(state: State, name: str) -> int:
    """How many positions belong to no patch: as many as there are prefix tokens, or none."""
    pos_embed, beside = state[name], name.removesuffix('pos_embed')
    if pos_embed.dim() == 4:
        return 0
    lengths = [state[beside + token].shape[1] for token in _PREFIX_TOKENS if beside + token in state]
    for num_prefix in (sum(lengths), *lengths[:1], 0):
        side = round(max(pos_embed.shape[1] - num_prefix, 0)**.5)
        if side and side * side == pos_embed.shape[1] - num_prefix:
            return num_prefix
    raise WeightsError(f'{name} has {pos_embed.shape[1]} positions, which are no square grid; resize the checkpoint to '
                       'a square image first')


def _as_maps(pos_embed: Tensor, num_prefix: int) -> Tensor:
    """(1, D, h, w)."""
    if pos_embed.dim() == 4:
        return pos_embed.permute(0, 3, 1, 2)
    grid = pos_embed[:, num_prefix:].transpose(1, 2)
    side = round(grid.shape[2]**.5)
    if side * side != grid.shape[2]:
        raise WeightsError(f'{grid.shape[2]} positions are no square grid')
    return grid.unflatten(2, (side, side))
