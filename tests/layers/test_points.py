"""Point sampling."""
import torch

from densevit.layers import sample_points, uncertain_points


def test_samples_pixel_centres():
    maps = torch.arange(6.).reshape(1, 1, 2, 3)
    centres = torch.tensor([[[.5 / 3, .25], [2.5 / 3, .75]]])
    torch.testing.assert_close(sample_points(maps, centres), torch.tensor([[[0., 5.]]]))


def test_most_points_lie_where_logits_are_near_zero():
    torch.manual_seed(0)
    logits = torch.linspace(-8, 8, 64).expand(1, 1, 64, 64).contiguous()  # the boundary is the middle column
    points = uncertain_points(logits, 400, oversample_ratio=3., importance_sample_ratio=.75)
    assert points.shape == (1, 400, 2)
    assert points.min() >= 0 and points.max() <= 1
    near = ((points[0, :, 0] - .5).abs() < .15).float().mean()
    assert near > .75  # uniform sampling gives .3
