"""Pixel classification as an mmengine model."""
import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from randomised import randomise

from densevit.registry import MODELS

BACKBONE = dict(type='densevit.PlainViT', img_size=64, patch_size=16, embed_dim=32, depth=2, num_heads=2)


def build(**kwargs):
    return randomise(MODELS.build({
        'type': 'densevit.PixelSegmentor', 'backbone': BACKBONE, 'num_classes': 5,
        'head': dict(type='densevit.LinearNet'), **kwargs}))


def labelled(labels):
    return SegDataSample(gt_sem_seg=PixelData(data=labels[None]), metainfo=dict(img_path='street.jpg'))


def test_loss__is_cross_entropy_over_labelled_pixels_of_any_size():
    model = build().eval()
    images, labels = torch.randn(2, 3, 50, 75), torch.randint(0, 5, (2, 50, 75))
    labels[0, :20] = 255
    losses = model(images, [labelled(own) for own in labels], mode='loss')
    logits = model(F.pad(images, (0, 5, 0, 14)))[-1]
    logits = F.interpolate(logits, (64, 80), mode='bilinear')[..., :50, :75]
    torch.testing.assert_close(losses, dict(loss_seg=F.cross_entropy(logits, labels, ignore_index=255)))


def test_loss__of_a_crop_without_labels_is_zero():
    losses = build()(torch.randn(1, 3, 32, 32), [labelled(torch.full((32, 32), 255))], mode='loss')
    assert losses['loss_seg'] == 0
    losses['loss_seg'].backward()


def test_loss__any_label_may_be_void():
    model, labels = build(ignore_index=65535), torch.full((32, 32), 65535)
    labels[:, 20:] = 3
    found = model.eval()(torch.zeros(1, 3, 32, 32), [labelled(labels)], mode='loss')['loss_seg']
    labels[labels == 65535] = 255
    model = build()
    expected = model.eval()(torch.zeros(1, 3, 32, 32), [labelled(labels)], mode='loss')['loss_seg']
    torch.testing.assert_close(found, expected)
    with pytest.raises(ValueError, match='set model.ignore_index alone'):
        build(criterion=dict(ignore_index=0))


def test_loss__names_the_file_of_a_wrong_label():
    with pytest.raises(ValueError, match=r'street\.jpg holds label 7, but the model has classes 0 to 4'):
        build()(torch.randn(1, 3, 32, 32), [labelled(torch.full((32, 32), 7))], mode='loss')


def test_networks_of_the_other_kind__are_refused():
    with pytest.raises(ValueError, match="PixelSegmentor trains a PixelNetwork, and head.type=.densevit.EoMT. is none"):
        build(head=dict(type='densevit.EoMT', num_queries=4, num_blocks=1))


def test_labels_without_the_pads_of_their_images_are_refused():
    with pytest.raises(ValueError, match='SegDataPreProcessor'):
        build()(torch.zeros(2, 3, 32, 48), [labelled(torch.zeros(32, 48)), labelled(torch.zeros(32, 32))], mode='loss')
