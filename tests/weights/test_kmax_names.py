"""Checkpoints of kMaX-DeepLab's authors in our network."""
import timm
import torch
from official_kmax import official_kmax
from randomised import randomise
from torch import nn

from densevit import TimmPyramid, load_weights
from densevit.networks.segmentation import KMaXDeepLab
from densevit.weights.names.kmax import read_kmax

NUM_CLASSES = 5
SIZES = dict(num_queries=7, num_layers=(1, 1, 1), decoder_channels=(16, 8, 8, 8), decoder_depths=(1, 1, 1, 1),
             decoder_kinds=('axial', 'axial', 'bottleneck', 'bottleneck'))
BACKBONE = dict(name='resnet10t', stem_type='', layers=(1, 1, 1, 1), channels=(8, 12, 16, 20))
WIDTHS = (8, 12, 16, 20)
HEAD = 'sem_seg_head.'


def detectron2_resnet():
    """Maps and state of a ResNet as kMaX-DeepLab's, whose norms add 1e-3 to variances."""
    trunk = randomise(timm.create_model(features_only=True, out_indices=(1, 2, 3, 4), model_name=BACKBONE['name'],
                                        **{key: value for key, value in BACKBONE.items() if key != 'name'}))
    for module in trunk.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 1e-3
    names = {}
    for name in trunk.state_dict():
        new = name.replace('bn1.', 'conv1.norm.').replace('bn2.', 'conv2.norm.').replace('downsample.0', 'shortcut')
        new = new.replace('downsample.1', 'shortcut.norm')
        for stage in range(4, 0, -1):
            new = new.replace(f'layer{stage}.', f'res{stage + 1}.')
        names[name] = f'backbone.{new}' if new.startswith('res') else f'backbone.stem.{new}'
    return trunk, {names[name]: tensor for name, tensor in trunk.state_dict().items()}


@torch.no_grad()
def test_official_checkpoint__same_predictions(tmp_path):
    trunk, state = detectron2_resnet()
    official = randomise(official_kmax(WIDTHS, (64, 128), NUM_CLASSES, **SIZES))
    state.update(official.state_dict())
    torch.save(dict(model=state), tmp_path / 'kmax.pth')
    network = KMaXDeepLab(TimmPyramid(**BACKBONE), NUM_CLASSES, **SIZES)
    load_weights(network, tmp_path / 'kmax.pth')
    images = torch.randn(1, 3, 64, 128)
    for ours, theirs in zip(network.eval().backbone(images), trunk(images), strict=True):
        assert (ours - theirs).abs().max() <= 1e-4 * theirs.std()
    expected = official(trunk(images))
    answer = network(images)[-1]
    for ours, theirs in ((answer.masks, expected['pred_masks']), (answer.classes, expected['pred_logits'])):
        assert (ours - theirs).abs().max() <= 1e-3 * theirs.std()


def test_names__one_of_each_kind():
    ours = {
        'sem_seg_head.pixel_decoder._in_norms.0.weight': 'pixel_decoder.norms.0.weight',
        'sem_seg_head.pixel_decoder._stages.1._blocks.4._attention._width_axis._key_rpe._embeddings.weight':
            'pixel_decoder.stages.1.4.middle.0.rows.key_positions',
        'sem_seg_head.pixel_decoder._stages.2._blocks.0._conv2_bn_act.norm.bias':
            'pixel_decoder.stages.2.0.middle.norm.bias',
        'sem_seg_head.pixel_decoder._resized_fuses.2._conv_bn_high.conv.weight':
            'pixel_decoder.fuses.2.fine.1.conv.weight',
        'sem_seg_head.predictor._kmax_transformer_layers.5._predcitor._transformer_class_head.conv.bias':
            'layers.5.predict.class_head.bias',
        'sem_seg_head.predictor._kmax_transformer_layers.0._kmeans_query_conv3_bn.conv.weight':
            'layers.0.kmeans.project.conv.weight',
        'sem_seg_head.predictor._cluster_centers.weight': 'centers',
        'sem_seg_head.predictor._auxiliary_semantic_predictor._aspp._aspp_conv3.conv.weight':
            'semantic_decoder.aspp.branches.3.conv.weight',
        'sem_seg_head.predictor._auxiliary_semantic_predictor._low_level_fusion_os4_conv1_bn_act.norm.weight':
            'semantic_decoder.merge.1.1.norm.weight',
    }
    label, head, backbone, left = read_kmax({f'module.{name}': torch.zeros(4) for name in ours} | {
        'module.backbone.stages.0.0.gamma': torch.ones(4), 'optimizer': torch.ones(1)})
    assert label == "the authors' kMaX-DeepLab" and left == ['optimizer']
    assert set(head) == set(ours.values()) and set(backbone) == {'stages.0.0.gamma'}
    bias = head['layers.5.predict.class_head.bias']  # of 3 classes and "no object", which has 0.9 to begin with
    torch.testing.assert_close(bias.softmax(0)[-1], torch.tensor(.9))
    assert read_kmax({'query.weight': torch.zeros(2)}) is None
