"""Backbones, adapters and networks where none of OpenMMLab's packages can be imported."""
import subprocess
import sys

PROGRAM = '''
import sys

BLOCKED = ('mmengine', 'mmcv', 'mmseg', 'mmdet')
sys.modules.update(dict.fromkeys(BLOCKED))  # None: an import raises ImportError

import torch

import densevit
from densevit import adapters, backbones, networks
from densevit.backbones import PlainViT
from densevit.networks import deformable_encoder, dpt_decoder, segmentation

for package in (adapters, backbones, segmentation):
    for name in package.__all__:
        getattr(package, name)
assert densevit.PlainViT is PlainViT and densevit.EoMT is segmentation.EoMT and densevit.ViTAdapter
vit = dict(embed_dim=16, depth=2, num_heads=2, patch_size=16, img_size=64)
eomt = segmentation.EoMT(PlainViT(**vit), 3, num_queries=4, num_blocks=1).eval()
linear = segmentation.LinearNet(adapters.SimpleFeaturePyramid(vit, out_channels=8), 3).eval()
with torch.no_grad():
    assert eomt(torch.zeros(1, 3, 50, 70))[-1].masks.shape == (1, 4, 16, 20)
    assert linear(torch.zeros(1, 3, 50, 70))[-1].shape == (1, 3, 13, 18)
assert not any(name.split('.')[0] in BLOCKED for name, module in sys.modules.items() if module is not None)
'''


def test_they_are_imported_and_run_without_openmmlab():
    result = subprocess.run([sys.executable, '-c', PROGRAM], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
