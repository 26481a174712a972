"""RF-DETR and RF-DETR-Seg: what Roboflow's package predicts and teaches with the same weights, on any rectangle."""
import argparse

import numpy as np
import pytest
import torch
from checkout import ROOT
from mmengine.config import Config
from networks.detection.test_lw_detr import LABELS, TARGETS, tame
from official import assert_close
from randomised import randomise

from densevit import load_weights
from densevit.networks.detection import BoxSetLoss
from densevit.registry import MODELS

IDS, QUERIES, GROUPS = 91, 40, 3  # of so few queries that an image of few cells fills them
MODELS_OF = dict(Nano='rfdetr_nano', Small='rfdetr_small', Medium='rfdetr_medium', Large='rfdetr_large',
                 SegNano='rfdetr_seg_nano', SegSmall='rfdetr_seg_small', SegMedium='rfdetr_seg_medium',
                 SegLarge='rfdetr_seg_large')
pytestmark = pytest.mark.filterwarnings('ignore:.*pretrain_weights=None')


@pytest.fixture(scope='module')
def rfdetr():
    """The package, without what it sets for the whole process as it is imported."""
    precision, names = torch.get_float32_matmul_precision(), set(vars(np))
    package = pytest.importorskip('rfdetr', reason='needs rfdetr')
    torch.set_float32_matmul_precision(precision)
    for name in set(vars(np)) - names:
        delattr(np, name)
    return package


def config_of(name):
    return Config.fromfile(ROOT / 'configs' / 'rfdetr' / f'{MODELS_OF[name]}_coco.py').model


@pytest.fixture
def build(rfdetr, tmp_path):
    """A function that gives their package's model of a name, its network and the network of our config, both alike."""
    def both(name):
        model = getattr(rfdetr, f'RFDETR{name}')(
            pretrain_weights=None, device='cpu', num_queries=QUERIES, group_detr=GROUPS)
        theirs = tame(randomise(model.model.model))
        with torch.no_grad():
            for parameter in theirs.parameters():  # at these widths, rounding would grow from layer to layer
                parameter.mul_(.3 if parameter.ndim > 1 else 1.)
        cfg = config_of(name)
        cfg.backbone.pretrained, cfg.num_classes = False, IDS
        cfg.head.update(num_queries=QUERIES, num_groups=GROUPS)
        ours = MODELS.build(cfg).network.eval()
        torch.save(dict(model=theirs.state_dict(), args=argparse.Namespace(lr=1e-4)), tmp_path / 'theirs.pth')
        report = load_weights(ours, tmp_path / 'theirs.pth')
        assert not report.missing and set(report.left) == {'embeddings.mask_token', '_kp_active_mask'}
        return model, theirs, ours
    return both


def images_of(*size):
    return torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def assert_same_boxes(found, expected):
    assert_close([found.logits.flatten(1, 2)], [expected['pred_logits']], 1e-4)
    assert_close([found.boxes.flatten(1, 2)], [expected['pred_boxes']], 1e-4)


def test_predictions_losses_and_gradients_of_rectangles(build, rfdetr):
    """The official N. 224 pixels are windows of whole patches, 7 in a row, which are no square."""
    from rfdetr.config import TrainConfig
    from rfdetr.models.lwdetr import build_criterion_from_config
    model, theirs, ours = build('Nano')
    for size in ((128, 224), (256, 96)):
        with torch.no_grad():
            assert_same_boxes(ours(images_of(*size))[-1], theirs(images_of(*size)))
    criterion, _ = build_criterion_from_config(model.model_config, TrainConfig(dataset_dir='.', output_dir='.'))
    images = images_of(128, 224)
    expected = criterion.train()(theirs.train()(images), [
        dict(labels=image['class_labels'], boxes=image['boxes']) for image in LABELS])
    expected = {name: weight * expected[name] for name, weight in criterion.weight_dict.items()}
    found = BoxSetLoss(IDS)(ours.train()(images), TARGETS)
    assert len(found) == len(expected) == 9
    for prefix, suffix in (('', ''), ('d0.', '_enc'), ('d1.', '_0')):
        for own, their in (('cls', 'ce'), ('bbox', 'bbox'), ('iou', 'giou')):
            torch.testing.assert_close(
                found[f'{prefix}loss_{own}'], expected[f'loss_{their}{suffix}'], rtol=1e-4, atol=1e-5)
    sum(found.values()).backward()
    sum(expected.values()).backward()
    pairs = {'query_embed.weight': 'query_feat.weight',
             'projector.0.fuse.split.conv.weight': 'backbone.0.projector.stages.0.0.cv1.conv.weight',
             'backbone.trunk.patch_embed.proj.weight':
             'backbone.0.encoder.encoder.embeddings.patch_embeddings.projection.weight'}
    assert_close([ours.get_parameter(name).grad for name in pairs],
                 [theirs.get_parameter(name).grad for name in pairs.values()], 1e-3)


@torch.no_grad()
@pytest.mark.parametrize('name, size', [('SegSmall', (96, 168)), ('SegNano', (156, 84))])
def test_masks_of_rectangles(build, name, size):
    """The official S, and N whose ViT has no windows: predictions, and in training those of every layer."""
    _, theirs, ours = build(name)
    found, expected = ours(images_of(*size))[-1], theirs(images_of(*size))
    assert_same_boxes(found, expected)
    for image, logits in enumerate(expected['pred_masks']):
        assert_close([found.masks.logits(image, found.masks.queries[image, 0])], [logits], 1e-4)
    found, expected = ours.train()(images_of(*size)), theirs.train()(images_of(*size))
    expected = [expected['enc_outputs'], *expected['aux_outputs'], expected]
    assert len(found) == len(expected)
    for own, their in zip(found, expected, strict=True):
        assert_same_boxes(own, their)
        parts = their['pred_masks']
        masks = torch.einsum('bqc,bchw->bqhw', parts['query_features'], parts['spatial_features']) + parts['bias']
        for image, logits in enumerate(masks):
            assert_close([own.masks.logits(image, own.masks.queries[image].flatten(0, 1))], [logits], 1e-4)


@pytest.mark.parametrize('name', MODELS_OF)
def test_configs_have_the_official_sizes(rfdetr, name):
    their = getattr(rfdetr.config, f'RFDETR{name}Config')(pretrain_weights=None)
    ours = config_of(name)
    assert ours.backbone.img_size == their.resolution == their.positional_encoding_size * their.patch_size
    assert ours.backbone.patch_size == their.patch_size and (ours.backbone.num_windows or 1) == their.num_windows
    assert [block + 1 for block in ours.backbone.out_indices] == their.out_feature_indexes
    head = dict(dict(num_queries=300, num_groups=13, embed_dim=256, num_points=2), **ours.head)
    assert (head['num_queries'], head['num_layers'], head['num_groups'], head['embed_dim'], head['num_points']) == (
        their.num_queries, their.dec_layers, their.group_detr, their.hidden_dim, their.dec_n_points)
    assert ours.test_cfg.top_k == their.num_select
