"""What tools/train.py writes of any registered network, every other tool reads; and with other classes, too."""
from __future__ import annotations

import copy
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import EMAHook
from randomised import randomise
from safetensors.torch import load_file
from torch import Tensor, nn

import densevit
from densevit.backbones import Backbone
from densevit.inference.loading import build_model
from densevit.models.base import DenseModel
from densevit.networks.base import Network
from densevit.networks.restoration import RestorationNetwork
from densevit.registry import MODELS
from densevit.weights import WeightsError, load_weights, publish

NUM_CLASSES = 3
VIT = dict(embed_dim=32, depth=4, num_heads=2, patch_size=16, img_size=64)
PLAIN = dict(VIT, type='densevit.PlainViT')
LEVELS = dict(PLAIN, out_indices=(0, 1, 2, 3))
HIERA = dict(embed_dim=8, num_heads=1, stages=(1, 1, 2, 1))
PYRAMID = dict(type='densevit.TimmPyramid', name='swin_tiny_patch4_window7_224', embed_dim=16, depths=(1, 1, 1, 1),
               num_heads=(1, 1, 2, 2), norm_out=True)
QUERIES = dict(num_queries=8, embed_dim=32, num_heads=2, mask_dim=32)
PEM = dict(QUERIES, pixel_dim=32, ffn_dim=32, decoder_layers=1)
# Backbone and options of each registered network.
NETWORKS = {
    'DEIM': (dict(PLAIN, out_indices=(1, 2, 3)), dict(
        embed_dim=32, num_queries=8, num_layers=1, num_heads=2, ffn_dim=32, encoder_ffn_dim=32, num_blocks=1)),
    'DPTDepth': (LEVELS, dict(width=16, hidden_dim=8, sky=True, bins=dict(num_bins=8), max_depth=10.)),
    'DPTNet': (LEVELS, dict(width=16)),
    'ECOMask2FormerNet': (PYRAMID, dict(QUERIES, decoder_layers=1, encoder_layers=2)),
    'EoMT': (PLAIN, dict(num_queries=8, num_blocks=2)),
    'KMaXDeepLab': (PYRAMID, dict(num_queries=8, hidden_dim=32, num_heads=4, num_layers=(1, 1, 1), relax=2,
                                  decoder_channels=(32, 32, 16, 16), decoder_depths=(1, 1, 1, 1))),
    'LWDETR': (LEVELS, dict(embed_dim=32, num_queries=8, num_groups=2, num_layers=1, num_heads=2, num_cross_heads=2,
                            ffn_dim=32, projector_blocks=1)),
    'LinearDepth': (LEVELS, dict(bins=dict(num_bins=8), max_depth=10.)),
    'LinearNet': (LEVELS, {}),
    'Mask2FormerNet': (PYRAMID, dict(QUERIES, decoder_layers=1, encoder_layers=1)),
    'MaskFormerNet': (PYRAMID, dict(QUERIES, decoder_layers=1, encoder_layers=1)),
    'PEM': (PYRAMID, PEM),
    'PlainDETR': (PLAIN, dict(embed_dim=32, num_queries=4, num_many_queries=4, num_layers=1, num_heads=2, ffn_dim=32,
                         rpb_hidden_dim=8)),
    'PolyMaXDepth': (LEVELS, dict(width=16, num_queries=6, embed_dim=16, num_layers=2, num_heads=2, ffn_dim=16,
                                  max_depth=10.)),
    'RFDETRSeg': (LEVELS, dict(embed_dim=32, num_queries=8, num_groups=2, num_layers=1, num_heads=2, num_cross_heads=2,
                               ffn_dim=32, projector_blocks=1)),
    'SegFormerNet': (PYRAMID, dict(width=16)),
    'SegViT': (LEVELS, dict(embed_dim=16, num_heads=2)),
    'SegViTShrunk': (PLAIN, dict(embed_dim=16, num_heads=2, query_grid=4, shrink_block=1, edge_share=.1)),
    'VPNeXt': (LEVELS, dict(embed_dim=16, guide_dim=8)),
    'ViTMatte': (dict(PLAIN, in_chans=4), dict(residual_blocks=(1, ), detail_channels=(4, 4, 4),
                                               fusion_channels=(8, 4, 4, 4), hidden_dim=4)),
    'ViTP': (PLAIN, dict(proposer=dict(PEM, type='densevit.PEM', backbone=PYRAMID))),
}
BACKBONES = {
    'Hiera': dict(HIERA, img_size=(64, 64)),
    'HieraDet': dict(HIERA, global_att_blocks=(3, ), window_spec=(8, 4, 2, 2), norm_out=True),
    'PlainViT': LEVELS,
    'SimpleFeaturePyramid': dict(vit=VIT, out_channels=8),
    'TimmPyramid': PYRAMID,
    'ViTAdapter': dict(vit=VIT, num_heads=2, conv_inplane=8),
    'ViTCoMer': dict(vit=VIT, num_heads=2, conv_inplane=8),
}
WITHOUT_CLASSES = ('DPTDepth', 'LinearDepth', 'PolyMaXDepth', 'ViTMatte')
# Scope, preprocessor and packing transform of models that are not mmsegmentation's.
_OF_MODEL = {'Detector': ('mmdet', 'DetDataPreprocessor', 'PackDetInputs'),
             'MattingModel': ('mmengine', 'ImgDataPreprocessor', 'densevit.PackMatting'),
             'MonocularDepth': ('mmengine', 'ImgDataPreprocessor', 'densevit.PackDepth')}
CLASSES = [f'class {index}' for index in range(NUM_CLASSES)]


def config(name: str, backbone: dict, options: dict, num_classes: int = NUM_CLASSES) -> Config:
    network = registered()[name]
    kind = next(key for key, cls in registered().items()
                if issubclass(cls, DenseModel) and issubclass(network, cls.network_class))
    scope, preprocessor, pack = _OF_MODEL.get(kind, ('mmseg', 'SegDataPreProcessor', 'PackSegInputs'))
    model = dict(type=f'densevit.{kind}', backbone=backbone, head=dict(options, type=f'densevit.{name}'),
                 data_preprocessor=dict(type=f'{scope}.{preprocessor}', mean=[127.] * 3, std=[60.] * 3))
    if name not in WITHOUT_CLASSES:
        model['num_classes'] = num_classes
    pipeline = [dict(type='LoadImageFromFile'), dict(type=pack)]
    return Config(dict(default_scope=scope, model=model, test_dataloader=dict(dataset=dict(pipeline=pipeline))))


def build(cfg: Config, seed: int) -> DenseModel:
    return randomise(MODELS.build(cfg.model), seed)


def registered() -> dict[str, type]:
    MODELS.import_from_location()
    return {name: cls for name, cls in MODELS.module_dict.items() if isinstance(cls, type)}


ROWS = {name: (name, *row) for name, row in NETWORKS.items()}
# Every backbone under a network that takes any.
AROUND = {f'SegFormerNet around {name}': ('SegFormerNet', dict(options, type=f'densevit.{name}'), dict(width=16))
          for name, options in BACKBONES.items() if name != 'TimmPyramid'}


def test_every_network_and_backbone_has_a_row():
    of = {base: {name for name, cls in registered().items() if issubclass(cls, base)}
          for base in (Network, Backbone, RestorationNetwork)}
    # Those of restoration have neither backbones nor classes: test_restoration_names.
    assert of[Network] - of[RestorationNetwork] == NETWORKS.keys() and of[Backbone] == BACKBONES.keys()


def weights(model: nn.Module) -> dict[str, Tensor]:
    """Those of the network: what a loss holds follows from the config."""
    state = model.state_dict()
    return {name: tensor.clone() for name, tensor in state.items() if name.startswith('network.')} or state


def written(model: nn.Module, averaged: nn.Module, path) -> None:
    """A file as mmengine's runner and its EMAHook write it; the averaged weights are those to be used."""
    hook, runner = EMAHook(), SimpleNamespace(model=model)
    hook.before_run(runner)
    hook.ema_model.module.load_state_dict(averaged.state_dict())
    content = dict(
        meta=dict(iter=2, dataset_meta=dict(classes=CLASSES, palette=[[0, 0, 0]] * NUM_CLASSES)), message_hub={},
        state_dict=dict(model.state_dict()), optimizer=dict(state={0: dict(exp_avg=torch.zeros(3))}))
    hook.before_save_checkpoint(runner, content)
    torch.save(content, path)


@pytest.mark.parametrize('name', [*ROWS, *AROUND])
def test_a_checkpoint_of_a_run__is_read_by_every_tool(name, tmp_path):
    row = {**ROWS, **AROUND}[name]
    cfg = config(*row)
    source, path = build(cfg, 1), tmp_path / 'iter_2.pth'
    written(build(cfg, 2), source, path)
    expected = weights(source)
    model = build(cfg, 3)
    report = load_weights(model, path)  # tools/test.py, and --load-from
    assert not report.missing and not report.resized
    torch.testing.assert_close(weights(model), expected, rtol=0, atol=0)
    predictor = densevit.load(cfg, path, device='cpu')  # demo/infer.py
    torch.testing.assert_close(weights(predictor.model), expected, rtol=0, atol=0)
    assert predictor.classes == tuple(CLASSES)
    network = build(cfg, 4).network
    load_weights(network, {f'module.{name}': tensor for name, tensor in source.state_dict().items()})
    torch.testing.assert_close(dict(network.state_dict()), dict(source.network.state_dict()), rtol=0, atol=0)
    load_weights(randomise(network.backbone, 5), path)
    torch.testing.assert_close(dict(network.state_dict()), dict(source.network.state_dict()), rtol=0, atol=0)
    file, _ = publish.publish_weights(path, 'eomt_tiny_camvid', dict(mIoU=.5), folder=tmp_path)
    assert all(tensor.dtype == torch.float16 for tensor in load_file(file).values() if tensor.ndim > 1)
    load_weights(randomise(network, 6), file)
    torch.testing.assert_close(dict(network.state_dict()), dict(source.network.state_dict()), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize('name', [name for name in ROWS if name not in WITHOUT_CLASSES])
def test_other_classes__only_what_depends_on_them_is_new(name):
    source, model = build(config(*ROWS[name]), 1), build(config(*ROWS[name], num_classes=NUM_CLASSES + 2), 2)
    own = weights(model)
    with pytest.raises(WeightsError, match='the checkpoint has 3 classes, the model 5; set num_classes=3, or pass '
                                           r'load_class_head=False \(tools/train.py: --new-classes\)'):
        load_weights(model, source.state_dict())
    load_weights(model, source.state_dict(), load_class_head=False)
    of_classes = {key for key in own if model.network.is_of_classes(key.removeprefix('network.'))}
    assert of_classes
    old = weights(source)
    for key, tensor in weights(model).items():
        assert torch.equal(tensor, own[key] if key in of_classes else old[key]), key


STOCK = dict(
    default_scope='mmseg',
    model=dict(type='EncoderDecoder', backbone=LEVELS, test_cfg=dict(mode='whole'), decode_head=dict(
        type='UPerHead', in_channels=[32] * 4, in_index=[0, 1, 2, 3], pool_scales=(1, ), channels=16, num_classes=3,
        norm_cfg=dict(type='BN'), align_corners=False)))


def stock(seed: int, **head) -> nn.Module:
    """OpenMMLab's segmentor around a backbone of ours."""
    cfg = Config(copy.deepcopy(STOCK))
    cfg.model.decode_head.update(head)
    return randomise(build_model(cfg), seed)


def test_other_classes_in_a_model_of_openmmlab__its_class_head_is_new(tmp_path):
    source, model = stock(1), stock(2, num_classes=5)
    written(stock(3), source, tmp_path / 'iter_2.pth')
    with pytest.raises(WeightsError, match=r'the number of classes differs; .* \(tools/train.py: --new-classes\)'):
        load_weights(model, tmp_path / 'iter_2.pth')
    own = weights(model)
    report = load_weights(model, tmp_path / 'iter_2.pth', load_class_head=False)
    assert set(report.kept) == {'decode_head.conv_seg.weight', 'decode_head.conv_seg.bias'}
    for name, tensor in weights(model).items():
        assert torch.equal(tensor, (own if name in report.kept else source.state_dict())[name])
    with pytest.raises(WeightsError, match='build the model with the sizes and options of the checkpoint'):
        load_weights(stock(4, channels=24), tmp_path / 'iter_2.pth', load_class_head=False)


def test_other_options__what_differs_is_told():
    """Not that the names are of no network known: they are the model's own."""
    for name, backbone, options, larger in (
            ('SegFormerNet', PYRAMID, dict(width=16), dict(width=24)),
            ('Mask2FormerNet', *NETWORKS['Mask2FormerNet'], dict(NETWORKS['Mask2FormerNet'][1], decoder_layers=2)),
            ('VPNeXt', *NETWORKS['VPNeXt'], dict(embed_dim=16, guide_dim=8, replay=False))):
        state = build(config(name, backbone, options), 1).state_dict()
        with pytest.raises(WeightsError, match='build the model with .*options of the checkpoint') as error:
            load_weights(build(config(name, backbone, larger), 2), state)
        assert 'backbone.' not in str(error.value)  # which is the same
