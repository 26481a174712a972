"""A network from outside, whose checkpoints no reader knows: trained, tested, used and fine-tuned by our tools."""
from __future__ import annotations

import pytest
from torch import nn

from densevit.inference import cli
from densevit.networks.segmentation import PixelNetwork
from densevit.registry import MODELS

NETWORK = """
model = dict(
    type='densevit.PixelSegmentor', num_classes=11, data_preprocessor=model['data_preprocessor'],
    backbone=model['backbone'], head=dict(type='densevit.NetworkFromOutside'))
custom_hooks = [dict(type='mmengine.EMAHook', momentum=.1)]
"""


class NetworkFromOutside(PixelNetwork):
    class_parts = ('classifier', )

    def __init__(self, backbone, num_classes):
        super().__init__(backbone, num_classes)
        self.neck = nn.Conv2d(backbone.out_channels[-1], 8, 1)
        self.classifier = nn.Conv2d(8, num_classes, 1)

    def forward(self, images):
        return [self.classifier(self.neck(self.backbone(images)[-1]).relu())]


@pytest.fixture
def config(tiny_config):
    MODELS.register_module(module=NetworkFromOutside)
    tiny_config.write_text(tiny_config.read_text() + NETWORK)
    yield tiny_config
    del MODELS.module_dict['NetworkFromOutside']


def test_train_test_predict_and_fine_tune(camvid_like, config, tool, tmp_path, capsys):
    checkpoint, options = tmp_path / 'run' / 'iter_2.pth', ['--cfg-options', 'train_cfg.max_iters=2']
    assert tool('train', config, '--work-dir', tmp_path / 'run', *options) == 0
    assert tool('test', config, checkpoint, '--work-dir', tmp_path / 'test') == 0
    assert 'mIoU' in capsys.readouterr().out
    picture, out = camvid_like / 'test' / '000.jpg', tmp_path / 'out'
    arguments = [picture, '--config', config, '--weights', checkpoint, '--out', out]
    assert cli.main([str(argument) for argument in arguments]) == 0 and len(list(out.iterdir())) == 1
    assert tool('train', config, '--load-from', checkpoint, '--new-classes', '--work-dir', tmp_path / 'again',
                *options) == 0
    assert 'kept as initialised: classifier.weight, classifier.bias' in capsys.readouterr().out
