"""kMaX-DeepLab's official decoders, losses and panoptic reading, from their checkout, without detectron2."""
from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import timm.models.layers  # noqa: F401  # before the official code does, whose imports are undone
import torch
from official import importable, repository
from torch import Tensor, nn

_PACKAGES = ('kmax_deeplab', 'kmax_deeplab.modeling', 'kmax_deeplab.modeling.backbone',
             'kmax_deeplab.modeling.pixel_decoder', 'kmax_deeplab.modeling.transformer_decoder')


class _Registry:

    def __init__(self, *args: Any) -> None:
        pass

    def register(self) -> Callable[[type], type]:
        return lambda cls: cls


@contextmanager
def _official() -> Iterator[None]:
    unused = dict.fromkeys(('build_backbone', 'build_sem_seg_head', 'Boxes', 'ImageList', 'Instances',
                            'MetadataCatalog', 'retry_if_cuda_oom', 'sem_seg_postprocess'))
    registries = dict.fromkeys(('SEM_SEG_HEADS_REGISTRY', 'META_ARCH_REGISTRY', 'BACKBONE_REGISTRY'), _Registry())
    stubs = {
        'detectron2.config': dict(configurable=lambda init: init),
        'detectron2.layers': dict(ShapeSpec=SimpleNamespace),
        'detectron2.modeling': dict(registries, Backbone=nn.Module, ShapeSpec=SimpleNamespace, **unused),
        'detectron2.utils.registry': dict(Registry=_Registry),
        **{name: dict(unused, Backbone=nn.Module) for name in (
            'detectron2.data', 'detectron2.modeling.backbone', 'detectron2.modeling.postprocessing',
            'detectron2.structures', 'detectron2.utils.memory')},
        **{name: {} for name in _PACKAGES},
    }
    root = repository('kmax-deeplab')
    with importable(stubs=stubs):
        for name in _PACKAGES:
            sys.modules[name].__path__ = [str(root.joinpath(*name.split('.')))]
        yield


class OfficialKMaX(nn.Module):
    """The parts behind the backbone, under the names that they have in a checkpoint."""

    def __init__(self, pixel_decoder: nn.Module, predictor: nn.Module) -> None:
        super().__init__()
        self.sem_seg_head = nn.ModuleDict(dict(pixel_decoder=pixel_decoder, predictor=predictor))

    def forward(self, maps: Sequence[Tensor]) -> dict[str, Any]:
        """Outputs for maps of strides 4 to 32."""
        features = {f'res{index + 2}': x for index, x in enumerate(maps)}
        finest, semantic, levels = self.sem_seg_head['pixel_decoder'].forward_features(features)
        return self.sem_seg_head['predictor'](levels, finest, semantic)


def official_kmax(
    channels: Sequence[int],
    size: tuple[int, int],
    num_classes: int,
    num_queries: int,
    num_layers: Sequence[int],
    decoder_channels: Sequence[int],
    decoder_depths: Sequence[int],
    decoder_kinds: Sequence[str],
) -> OfficialKMaX:
    """For images of one size, and the backbone's channels at strides 4 to 32."""
    shapes = {f'res{index + 2}': SimpleNamespace(channels=width, stride=4 * 2**index)
              for index, width in enumerate(channels)}
    with _official():
        pixel_decoder = import_module(f'{_PACKAGES[3]}.kmax_pixel_decoder').kMaXPixelDecoder(
            shapes, dec_layers=decoder_depths, dec_channels=decoder_channels, layer_types=decoder_kinds,
            drop_path_prob=0., spatial_shape=size)
        predictor = import_module(f'{_PACKAGES[4]}.kmax_transformer_decoder').kMaXTransformerDecoder(
            dec_layers=num_layers, in_channels=[4 * width for width in decoder_channels], num_classes=num_classes,
            num_queries=num_queries, drop_path_prob=0., add_aux_semantic_pred=True, use_aux_semantic_decoder=True,
            input_shape_from_backbone=shapes)
    return OfficialKMaX(pixel_decoder, predictor)


def official_criterion(num_classes: int, share_match: bool, samples: int) -> nn.Module:
    """The loss before its parts are weighted."""
    with _official():
        matcher = import_module('kmax_deeplab.modeling.matcher').HungarianMatcher()
        return import_module('kmax_deeplab.modeling.criterion').SetCriterion(
            num_classes, matcher, {}, 1e-5, ['labels', 'masks', 'pixels', 'aux_semantic'], share_match,
            pixel_insdis_sample_k=samples, aux_semantic_sample_k=samples)


def official_panoptic(masks: Tensor, classes: Tensor, things: Sequence[int]) -> tuple[Tensor, list[int]]:
    """Ids (H, W) from 1, 0 for none, and the classes of the segments, with the thresholds of COCO."""
    with _official():
        model = import_module('kmax_deeplab.kmax_model').kMaXDeepLab
    settings = SimpleNamespace(
        class_threshold_thing=.7, class_threshold_stuff=.5, pixel_confidence_threshold=.4, overlap_threshold=.8,
        reorder_class_weight=1., reorder_mask_weight=1.,
        metadata=SimpleNamespace(thing_dataset_id_to_contiguous_id=dict(enumerate(things))))
    with torch.no_grad():
        segments, found = model.panoptic_inference(settings, classes, masks)
    return segments, [segment['category_id'] for segment in found]
