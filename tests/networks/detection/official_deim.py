"""The authors' DEIMv2 and D-FINE (github.com/Intellindust-AI-Lab/DEIMv2), without their data sets and registries."""
from __future__ import annotations

from types import SimpleNamespace

import torchvision.transforms.v2  # noqa: F401  # before the official code does, whose imports are undone
import transformers.models.dinov3_vit  # noqa: F401
from official import importable, repository
from torch import nn


def official_deim() -> SimpleNamespace:
    """The authors' networks, loss and module that makes batches."""
    folder = repository('DEIMv2')
    packages = {name: {'__path__': [str(folder / name.replace('.', '/'))]}
                for name in ('engine', 'engine.deim', 'engine.backbone', 'engine.data')}
    with importable(folder, stubs={
            **packages, 'engine.core': dict(register=lambda *_, **__: lambda cls: cls),
            'engine.misc.dist_utils': dict(get_world_size=lambda: 1, is_dist_available_and_initialized=lambda: False)}):
        from engine.backbone.dinov3_adapter import DINOv3STAs
        from engine.backbone.hgnetv2 import HGNetv2
        from engine.data import dataloader
        from engine.deim.deim_criterion import DEIMCriterion
        from engine.deim.deim_decoder import DEIMTransformer
        from engine.deim.dfine_decoder import DFINETransformer
        from engine.deim.hybrid_encoder import HybridEncoder
        from engine.deim.matcher import HungarianMatcher
        return SimpleNamespace(
            DINOv3STAs=DINOv3STAs, HGNetv2=HGNetv2, DEIMCriterion=DEIMCriterion, DEIMTransformer=DEIMTransformer,
            DFINETransformer=DFINETransformer, HybridEncoder=HybridEncoder, HungarianMatcher=HungarianMatcher,
            dataloader=dataloader)


class Detector(nn.Module):
    """Its three parts under the names of the authors' checkpoints."""

    def __init__(self, backbone: nn.Module, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.backbone, self.encoder, self.decoder = backbone, encoder, decoder

    def forward(self, images, targets=None):
        return self.decoder(self.encoder(self.backbone(images)), targets)
