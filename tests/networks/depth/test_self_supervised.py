"""What teaches depth without ground truth: the equations, and that the right depth has the least loss."""
import math

import pytest
import torch
import torch.nn.functional as F
from skimage.metrics import structural_similarity
from torch.autograd import gradcheck

from densevit.networks.depth.self_supervised import photometric_error, reprojection_loss, smoothness_loss, ssim, warp

CAMERA = torch.tensor([[40., 44., 15.5, 11.5]])


def images(count=2, size=(24, 32), seed=0):
    """Smooth patterns, so that what is warped by parts of a pixel can be compared."""
    generator = torch.Generator().manual_seed(seed)
    small = torch.rand(count, 3, 4, 5, generator=generator)
    return F.interpolate(small, size, mode='bicubic', align_corners=True).clamp(0, 1)


def motion(x=0., y=0., z=0.):
    moved = torch.eye(4)[None]
    moved[0, :3, 3] = torch.tensor([x, y, z])
    return moved


def test_ssim__is_that_of_scikit_image():
    a, b = images().double()
    expected = [structural_similarity(p.numpy(), q.numpy(), win_size=3, data_range=1., use_sample_covariance=False,
                                      full=True)[1] for p, q in zip(a, b, strict=True)]
    found = ssim(a[None], b[None])[0]
    for own, other in zip(found, expected, strict=True):  # borders are another matter
        torch.testing.assert_close(own[1:-1, 1:-1], torch.from_numpy(other)[1:-1, 1:-1], rtol=0, atol=1e-9)
    torch.testing.assert_close(ssim(a[None], a[None]), torch.ones(1, *a.shape).double())


def test_photometric_error__is_the_equation():
    a, b = images()[:1], images()[1:]
    found = photometric_error(a, b)
    y, x = 7, 9
    structure = (1 - ssim(a, b)[0, :, y, x].mean().item()) / 2
    expected = .85 * structure + .15 * (a - b)[0, :, y, x].abs().mean().item()
    assert found[0, y, x].item() == pytest.approx(expected, rel=1e-5)
    assert photometric_error(a, a).abs().max() < 1e-6 and photometric_error(a, b, 0.).shape == (1, 24, 32)


def test_warp__of_a_wall():
    """A camera that moves by t before a wall at d sees it shifted by f t / d pixels; nothing moves without motion."""
    source = images(1)
    depth = torch.full((1, 24, 32), 4.)
    torch.testing.assert_close(warp(source, depth, motion(), CAMERA), source, rtol=0, atol=1e-5)
    across = warp(source, depth, motion(x=.3), CAMERA)  # 40 * .3 / 4 = 3 pixels
    torch.testing.assert_close(across[..., :-3], source[..., 3:], rtol=0, atol=1e-5)
    torch.testing.assert_close(across[..., -2], source[..., -1])  # the border is repeated
    down = warp(source, depth, motion(y=-.2)[:, :3], CAMERA)  # 44 * -.2 / 4 = -2.2 pixels
    rows = torch.arange(3, 24) - 2.2
    below = rows.floor().long()
    expected = source[:, :, below] * (1 - (rows - below))[:, None] + source[:, :, below + 1] * (rows - below)[:, None]
    torch.testing.assert_close(down[:, :, 3:], expected, rtol=0, atol=1e-5)


def test_warp__through_rotation_and_depth():
    """Points by hand: back-projected, moved and projected."""
    angle = .1
    moved = motion(.1, .05, -.3)
    moved[0, :3, :3] = torch.tensor([[math.cos(angle), 0, math.sin(angle)], [0, 1, 0],
                                     [-math.sin(angle), 0, math.cos(angle)]])
    columns = torch.arange(32.).expand(1, 3, 24, 32).clone()  # an image that tells where it was looked at
    depth = 3 + torch.rand(1, 24, 32, generator=torch.Generator().manual_seed(1))
    found = warp(columns, depth, moved, CAMERA)
    for y, x in ((5, 12), (20, 18)):
        d = depth[0, y, x].item()
        point = moved[0, :3, :3] @ torch.tensor([(x - 15.5) / 40 * d, (y - 11.5) / 44 * d, d]) + moved[0, :3, 3]
        assert found[0, 0, y, x].item() == pytest.approx((40 * point[0] / point[2] + 15.5).item(), rel=1e-4)


def test_the_right_depth_has_the_least_loss():
    target = images(1, seed=3)
    true = torch.full((1, 24, 32), 4.)
    moves = [motion(x=.3), motion(x=-.3)]
    # What cameras beside the target saw of a wall 4 m away.
    sources = [warp(target, true, motion(x=-.3), CAMERA), warp(target, true, motion(x=.3), CAMERA)]

    def loss(depth):
        warped = [warp(source, depth, move, CAMERA) for source, move in zip(sources, moves, strict=True)]
        return reprojection_loss(target, sources, warped).item()

    losses = {metres: loss(torch.full((1, 24, 32), metres)) for metres in (2., 3., 4., 5., 8.)}
    assert min(losses, key=losses.get) == 4. and losses[4.] < .2 * losses[3.]


def test_reprojection__least_source_and_what_stands_still():
    target, other = images(1), images(1, seed=5)
    assert reprojection_loss(target, [other, other], [other, target]).item() < 1e-6  # the second shows it all
    assert reprojection_loss(target, [target], [other]).item() == 0.  # nothing moves
    mask = torch.zeros(1, 24, 32, dtype=torch.bool)
    assert reprojection_loss(target, [other], [.5 * other + .5 * target], mask).item() == 0.
    mask[:, :12] = True
    error, still = photometric_error(target, .5 * other + .5 * target), photometric_error(target, other)
    expected = torch.where(error < still, error, 0.)[:, :12].mean().item()
    assert reprojection_loss(target, [other], [.5 * other + .5 * target], mask).item() == pytest.approx(expected)


def test_smoothness__is_the_equation_and_knows_no_scale():
    disparity = torch.tensor([[[1., 2., 3.], [2., 4., 6.]]])
    image = torch.tensor([[[0., .5, .5], [0., .5, 1.]]]).expand(3, 2, 3)[None]
    d, e = disparity[0] / 3, image[0, 0]
    across = (d.diff(dim=1).abs() * (-e.diff(dim=1).abs()).exp()).mean()
    down = (d.diff(dim=0).abs() * (-e.diff(dim=0).abs()).exp()).mean()
    assert smoothness_loss(disparity, image).item() == pytest.approx((across + down).item())
    assert smoothness_loss(.01 * disparity, image).item() == pytest.approx((across + down).item())
    assert smoothness_loss(torch.ones(1, 1, 1), torch.ones(1, 3, 1, 1)).item() == 0.


def test_gradients():
    target, source = images(1, (5, 6)).double(), images(1, (5, 6), 1).double()
    depth = (2 + torch.rand(1, 5, 6, generator=torch.Generator().manual_seed(0))).double().requires_grad_()
    move = motion(.11, .07, .05).double().requires_grad_()
    assert gradcheck(lambda d, m: warp(source, d, m, CAMERA.double()), (depth, move))
    assert gradcheck(lambda d: photometric_error(target, warp(source, d, move.detach(), CAMERA.double())).mean(), depth)
    assert gradcheck(lambda d: smoothness_loss(1 / d, target), depth)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_half_precision_and_points_behind_the_camera_are_finite(dtype):
    target, source = images(1).to(dtype), images(1, seed=1).to(dtype)
    for metres, move in ((1., motion(z=-5.)), (1e-4, motion(x=9.)), (5e4, motion())):
        depth = torch.full((1, 24, 32), metres, requires_grad=True)
        loss = reprojection_loss(target, [source], [warp(source, depth, move, CAMERA)]) + smoothness_loss(
            1 / depth, target)
        loss.backward()
        assert loss.dtype == torch.float32 and loss.isfinite() and depth.grad.isfinite().all()
