"""Pre-training by telling degradations apart: what it learns from, and that a restorer begins from it."""
import pytest
import torch
import torch.nn.functional as F
from mmengine.optim import OptimWrapper
from mmengine.structures import BaseDataElement

import densevit
from densevit.networks.restoration.degradation_classifier import DegradationClassifier, focal_loss
from densevit.registry import MODELS

HEAD = dict(type='densevit.SwinIR', embed_dim=8, depths=(1, 1, 1), num_heads=1, drop_path_rate=0.)


def build(**options):
    torch.manual_seed(0)
    return MODELS.build(dict(type='densevit.ClassifyingRestorer', head=HEAD, num_degradations=2,
                             classifier=dict(width=8), **options))


def batch(kinds=(0, 1, 0, 1), seed=0):
    """Smooth images, every other one with noise."""
    generator = torch.Generator().manual_seed(seed)
    true = F.interpolate(torch.rand(len(kinds), 3, 4, 4, generator=generator), size=32, mode='bilinear')
    worse = [image + kind * .2 * torch.randn(3, 32, 32, generator=generator)
             for image, kind in zip(true, kinds, strict=True)]
    samples = [BaseDataElement(gt_img=image, metainfo=dict(img_shape=(32, 32), degradation=kind))
               for image, kind in zip(true, kinds, strict=True)]
    return dict(inputs=worse, data_samples=samples)


def test_pixels_count_everywhere_and_with_their_weight():
    """A mask, which hides what the network sees, changes nothing of where it is compared."""
    model, data = build(pixel_weight=.5), batch()
    losses = model(**model.data_preprocessor(data, True), mode='loss')
    for sample in data['data_samples']:
        sample.mask = torch.zeros(1, 32, 32, dtype=torch.bool)
    masked = model(**model.data_preprocessor(data, True), mode='loss')
    assert masked['loss_pixel'] == losses['loss_pixel']
    restored = model.network(torch.stack(data['inputs']))
    error = (restored - torch.stack([sample.gt_img for sample in data['data_samples']])).abs().mean()
    torch.testing.assert_close(losses['loss_pixel'], .5 * error)


def test_degradations_are_told_apart_after_some_steps():
    model = build().train()
    wrapper = OptimWrapper(torch.optim.AdamW(model.parameters(), 2e-3))
    for step in range(40):
        model.train_step(batch(seed=step), wrapper)
    seen = model(**model.data_preprocessor(batch(kinds=(1, 0) * 8, seed=99), True), mode='loss')
    assert seen['degradation_accuracy'] >= .9 and seen['loss_degradation'] < .1


def test_a_network_that_fills_holes():
    """The hidden squares are its holes, and its own loss weighs them."""
    torch.manual_seed(0)
    head = dict(type='densevit.MAT', dim=8, widths=(4, 4, 8), depths=(1, ) * 5, num_heads=1, window_sizes=(4, ) * 5)
    model = MODELS.build(dict(type='densevit.ClassifyingRestorer', head=head, num_degradations=2,
                              classifier=dict(width=4)))
    data = batch()
    for sample in data['data_samples']:
        sample.mask = torch.zeros(1, 32, 32, dtype=torch.bool)
        sample.mask[:, 8:24, 8:24] = True
    losses = model(**model.data_preprocessor(data, True), mode='loss')
    assert {'loss_hole', 'loss_visible', 'loss_degradation'} <= set(losses)


def test_a_restorer_begins_from_it(tmp_path):
    model = build()
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'pretrained.pth')
    restorer = MODELS.build(dict(type='densevit.Restorer', head=HEAD))
    densevit.load_weights(restorer, tmp_path / 'pretrained.pth')
    for name, value in restorer.state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name


@pytest.mark.parametrize('kind', (None, 2, -1))
def test_a_sample_of_no_known_kind(kind):
    model, data = build(), batch()
    sample = data['data_samples'][1]
    sample.set_metainfo(dict(gt_path='rain/a.png'))
    if kind is None:
        data['data_samples'][1] = BaseDataElement(gt_img=sample.gt_img, metainfo=dict(gt_path='rain/a.png'))
    else:
        sample.set_field(kind, 'degradation', field_type='metainfo')
    with pytest.raises(ValueError, match=r'rain/a\.png.*PackPair'):
        model(**model.data_preprocessor(data, True), mode='loss')


def test_one_kind_is_refused():
    with pytest.raises(ValueError, match='2 or more'):
        DegradationClassifier([4], 1)


def test_focal_loss():
    """That of certain answers is 0; gamma = 0 is cross-entropy; hard answers count in half precision, too."""
    logits, labels = torch.tensor([[2., -1., .5], [.1, .2, -3.]], dtype=torch.float64), torch.tensor([2, 0])
    torch.testing.assert_close(focal_loss(logits, labels, 0.), F.cross_entropy(logits.float(), labels))
    p = logits.softmax(1)[torch.arange(2), labels].float()
    torch.testing.assert_close(focal_loss(logits, labels), (-(1 - p)**2 * p.log()).mean())
    assert focal_loss(torch.tensor([[100., -100.]], dtype=torch.bfloat16), torch.tensor([0])) == 0
    assert focal_loss(torch.tensor([[100., -100.]], dtype=torch.float16), torch.tensor([1])).isfinite()
