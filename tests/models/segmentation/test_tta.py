"""Test-time augmentation of our own models, whose scores are read some rows at a time."""
import torch
import torch.nn.functional as F
from mmengine.structures import BaseDataElement
from randomised import randomise

from densevit.models import SemanticTTA
from densevit.registry import MODELS


def sample(shown, direction=None):
    return BaseDataElement(metainfo=dict(
        img_shape=shown, ori_shape=(50, 70), flip=direction is not None, flip_direction=direction))


@torch.no_grad()
def test_scores_of_resized_and_mirrored_copies_are_averaged():
    model = randomise(MODELS.build(dict(
        type='densevit.MaskSegmentor', num_classes=5, test_cfg=dict(keep_scores=True),
        backbone=dict(type='densevit.PlainViT', img_size=64, patch_size=16, embed_dim=32, depth=2, num_heads=2),
        head=dict(type='densevit.EoMT', num_queries=6, num_blocks=1)))).eval()
    inputs, samples, expected = [], [], torch.zeros(2, 5, 50, 70)
    for size in ((50, 70), (37, 52)):
        for direction, axes in ((None, ()), ('horizontal', (-1, )), ('vertical', (-2, )), ('diagonal', (-2, -1))):
            images = torch.randn(2, 3, *size)
            scores = F.interpolate(model.class_scores(images), (50, 70), mode='bilinear')
            expected += scores.flip(axes) / 8
            inputs.append(images)
            samples.append([sample(size, direction) for _ in images])
    for max_score_bytes in (1, 2**40):
        data = dict(inputs=inputs, data_samples=samples)
        results = SemanticTTA(model).test_step(data, max_score_bytes=max_score_bytes)
        for result, scores in zip(results, expected, strict=True):
            torch.testing.assert_close(result.seg_logits.data, scores, rtol=1e-4, atol=1e-4)
            assert (result.pred_sem_seg.data[0] == scores.argmax(0)).float().mean() > .999
