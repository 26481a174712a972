"""Every hierarchical backbone of timm as a feature pyramid."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from timm.layers import LayerNorm2d
from timm.models._manipulate import group_with_matcher
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from .contract import Backbone, crop_to_strides
from .options import checked_frozen_stages, pick_levels
from .swin_global import attend_globally
from .timm_models import create, defined_in
from .timm_sizes import SWINS, Level, family, leave_out_unused, levels_on_grid, open_windows, size_rule

_PLAIN = frozenset({'beit', 'deit', 'eva', 'vision_transformer', 'vision_transformer_hybrid', 'vision_transformer_sam'})
_OWN_CLASS = dict.fromkeys(_PLAIN, 'PlainViT') | dict(hiera='Hiera', hieradet_sam2='HieraDet')
_NO_PARAMETER = 'a name that no pattern matches'


class TimmPyramid(Backbone):
    """A timm model as (B, 3, H, W) images to feature maps: convolutional networks and hierarchical transformers.

    The network is timm's, under timm's parameter names and ``trunk.``, without what no returned map depends on: the
    classifier, the final norm, later stages. Which names run, with their strides, channels and image sizes, is listed
    in ``docs/backbones_table.md``. Maps are those of ``timm``'s ``forward_intermediates``: the output of a stage, not
    normalised unless the family does so.

    Images are zero-padded at the right and bottom as far as the family needs it. Families whose positions are made for
    one size at construction (CoAtNet, GCViT, CoaT, MViTv2, LeViT ...) take images up to ``img_size`` and pad to it;
    MaxViT, whose windows are 1/32 of ``img_size``, pads to multiples of it. Nothing is interpolated when images come
    in another size. Swin shifts its windows in every stage, as it does in detection and segmentation.

    Args:
        name: A timm model, or SegFormer's ``'mit_b0'`` to ``'mit_b5'``; near names are told for an unknown one.
        out_indices: Levels of ``timm``'s ``feature_info`` to return, finest first; negative ones count from the end.
            None takes the last level of each stride, the four coarsest.
        norm_out: Whether each returned map goes through a LayerNorm of its own, as in the authors' Swin for dense
            tasks (arXiv:2103.14030).
        img_size: What a family of fixed size is built for, a number or (height, width) in pixels; None for the size
            that its weights were trained at.
        frozen_stages: -1 trains all, 0 freezes the stem, k freezes k stages as timm groups them as well.
        norm_eval: Whether batch norms keep their running statistics in train mode.
        drop_path_rate: Stochastic depth; None for the model's own default.
        grad_checkpointing: Recompute blocks in the backward pass instead of keeping their activations. Batch norms
            behind the stem would count each batch twice then, so that they need ``norm_eval`` or to be frozen.
        global_blocks: Blocks of a Swin v2, counted over all stages, that attend to whole maps instead of windows:
            ``(-2, -1)`` in Plain DETR's. ``pretrained_window_sizes`` then says which windows the weights are of.
        pretrained: Download timm's weights for ``name``.
        timm_kwargs: Passed to ``timm.create_model``.

    Raises:
        ValueError: timm has no such model; a level or stage that it does not have; an option that it cannot take.
        TypeError: The model is a plain ViT, for which there is ``PlainViT``, or has no feature maps on a grid.
        OSError: Its weights cannot be downloaded.
    """

    def __init__(
        self,
        name: str,
        *,
        out_indices: int | Sequence[int] | None = None,
        norm_out: bool = False,
        img_size: int | tuple[int, int] | None = None,
        frozen_stages: int = -1,
        norm_eval: bool = False,
        drop_path_rate: float | None = None,
        grad_checkpointing: bool = False,
        global_blocks: Sequence[int] = (),
        pretrained: bool = False,
        **timm_kwargs: Any,
    ) -> None:
        super().__init__()
        self.timm_name = name
        self.timm_kwargs = dict(timm_kwargs, img_size=img_size, drop_path_rate=drop_path_rate)
        self.trunk = build_pyramid(name, pretrained, **self.timm_kwargs)
        if global_blocks:
            attend_globally(self.trunk, global_blocks)
        on_grid = levels_on_grid(self.trunk)
        levels = _take_levels(self.trunk, on_grid, out_indices)
        self.sizes = size_rule(self.trunk, on_grid, img_size)
        self.out_indices = tuple(level.index for level in levels)
        self.out_channels = tuple(level.channels for level in levels)
        self.strides = tuple(level.stride for level in levels)
        self.trunk.prune_intermediate_layers(list(self.out_indices), prune_norm=True, prune_head=True)
        leave_out_unused(self.trunk)
        if grad_checkpointing:
            _checkpoint(self.trunk, name)
        self.norms = nn.ModuleList(LayerNorm2d(channels, eps=1e-5) for channels in self.out_channels if norm_out)
        self._layers, self.depth = _group(self.trunk, coarse=False)
        self._stages = _with_modules(_group(self.trunk, coarse=True)[0])
        self.frozen_stages = checked_frozen_stages(frozen_stages, max(self._stages.values()), 'stages')
        self.norm_eval = norm_eval
        self.freeze()
        if grad_checkpointing:
            self._refuse_double_counting()

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Images (B, 3, H, W) to one map (B, C_i, ceil(H / s_i), ceil(W / s_i)) for each of ``out_indices``.

        Raises:
            ValueError: The images are larger than what a family of fixed size was built for.
        """
        maps = self.trunk.forward_intermediates(
            self.sizes.pad(images), indices=list(self.out_indices), stop_early=True, intermediates_only=True)
        if self.norms:
            maps = [norm(x) for norm, x in zip(self.norms, maps, strict=True)]
        if self.sizes.multiple == (1, 1):  # no padding to crop, and no cut for torch.compile to reason about
            return tuple(maps)
        return crop_to_strides(maps, self.strides, tuple(images.shape[-2:]))

    def _refuse_double_counting(self) -> None:
        """A recomputed batch norm adds a batch to its running statistics a second time; timm recomputes no stem."""
        if any(isinstance(module, _BatchNorm) and module.training and self.stage_index(name) != 0
               for name, module in self.named_modules()):
            raise ValueError(f"grad_checkpointing would let the batch norms of timm's {self.timm_name} count each "
                             'batch twice; keep their statistics with norm_eval=True, or leave out grad_checkpointing')

    def layer_index(self, name: str) -> int:
        return self._layers.get(name.removeprefix('trunk.'), self.depth + 1)

    def stage_index(self, name: str) -> int | None:
        return self._stages.get(name.removeprefix('trunk.'))


def build_pyramid(name: str, pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """The whole timm model without classifier, ready for images of any size that it can take.

    Raises:
        ValueError: timm has no such model, or it cannot take an option.
        TypeError: There is another class for it.
        OSError: Its weights cannot be downloaded.
    """
    _refuse_others(name, defined_in(name))
    if defined_in(name) in SWINS:
        kwargs.setdefault('strict_img_size', False)
    try:
        model = create(name, pretrained, num_classes=0, **kwargs)
    except (TypeError, AssertionError) as error:
        given = ', '.join(f'{key}={value}' for key, value in kwargs.items() if value is not None)
        raise ValueError(f"timm's {name} cannot be built with {given or 'its defaults'} ({error}); most convolutional "
                         'networks take any image size and no img_size') from error
    _refuse_others(name, family(model))
    if family(model) in SWINS:
        open_windows(model, shift_all='always_partition' not in kwargs)
    return model


def _refuse_others(name: str, module: str) -> None:
    if module in _OWN_CLASS:
        raise TypeError(f"timm's {name} has a class of its own: use densevit.{_OWN_CLASS[module]}")


def _take_levels(model: nn.Module, levels: list[Level], out_indices: int | Sequence[int] | None) -> list[Level]:
    if out_indices is None:
        return list({level.stride: level for level in levels}.values())[-4:]
    by_index = {level.index: level for level in levels}
    known = ', '.join(f'{level.index} (stride {level.stride})' for level in levels)
    return [by_index[index] for index in pick_levels(out_indices, len(model.feature_info), f'levels {known}', by_index)]


def _checkpoint(model: nn.Module, name: str) -> None:
    try:
        model.set_grad_checkpointing(True)
    except (AssertionError, AttributeError, NotImplementedError) as error:
        raise ValueError(f"timm's {name} cannot recompute its blocks; leave out grad_checkpointing") from error


def _group(model: nn.Module, coarse: bool) -> tuple[dict[str, int], int]:
    """Groups of parameters from the image on, 0 for the stem, as timm orders them for layer decay, and their number.

    Parameters in no group are left out.
    """
    names = [name for name, _ in model.named_parameters()]
    try:
        matcher = model.group_matcher(coarse=coarse)
    except (AssertionError, AttributeError):  # the model has none, or none of this kind
        groups = _group_by_level(model, names)
    else:
        names += [_NO_PARAMETER] if isinstance(matcher, dict) else []
        groups = group_with_matcher([(name, None) for name in names], matcher, reverse=True)
        rest = groups.pop(_NO_PARAMETER, None)
        groups = {name: group for name, group in groups.items() if group != rest}
    return groups, max(groups.values())


def _group_by_level(model: nn.Module, names: list[str]) -> dict[str, int]:
    """What lies before the first module that gives a level, up to its end, up to the end of the next ..."""
    modules = dict.fromkeys(info['module'] for info in model.feature_info)
    places = [[place for place, name in enumerate(names) if name.startswith(f'{module}.')] for module in modules]
    places = [found for found in places if found]
    return {name: 0 if place < places[0][0] else 1 + sum(place > found[-1] for found in places)
            for place, name in enumerate(names)}


def _with_modules(stages: dict[str, int]) -> dict[str, int]:
    """The same for modules: a module is in the last stage that one of its parameters is in."""
    result = dict(stages)
    for name, stage in stages.items():
        parts = name.split('.')
        for end in range(1, len(parts)):
            module = '.'.join(parts[:end])
            result[module] = max(result.get(module, 0), stage)
    return result
