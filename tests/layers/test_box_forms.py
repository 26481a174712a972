"""Boxes: forms, overlaps by torchvision, differences and sines."""
import torch
from torchvision.ops import box_iou, generalized_box_iou

from densevit.layers.boxes import box_overlap, box_sines, refine_boxes, to_centres, to_corners


def some(count, seed=0):
    return torch.rand(count, 4, generator=torch.Generator().manual_seed(seed)) * .5 + .1


def test_forms():
    boxes = some(6)
    torch.testing.assert_close(to_centres(to_corners(boxes)), boxes)
    torch.testing.assert_close(to_corners(torch.tensor([[.5, .4, .2, .6]])), torch.tensor([[.4, .1, .6, .7]]))


def test_overlaps_are_torchvisions():
    boxes, others = to_corners(some(6)), to_corners(some(5, 1))
    iou, giou = box_overlap(boxes[:, None], others)
    torch.testing.assert_close(iou, box_iou(boxes, others))
    torch.testing.assert_close(giou, generalized_box_iou(boxes, others))
    torch.testing.assert_close(box_overlap(boxes[:5], others)[1], giou.diagonal())


def test_overlap_of_nothing_is_zero_with_a_gradient():
    boxes = torch.tensor([[.5, .5, .5, .5]], requires_grad=True)
    iou, giou = box_overlap(boxes, boxes.detach())
    (iou + giou).sum().backward()
    assert iou == 0 and giou.isfinite() and boxes.grad.isfinite().all()
    assert box_overlap(some(2).bfloat16(), some(2).bfloat16())[0].dtype == torch.float32


def test_refined_by_shares_of_the_size():
    found = refine_boxes(torch.tensor([.5, .4, .2, .6]), torch.tensor([.5, -1., torch.tensor(2.).log(), 0.]))
    torch.testing.assert_close(found, torch.tensor([.6, -.2, .4, .6]))


def test_sines_tell_y_before_x():
    sines = box_sines(torch.tensor([.25, .5, 1., .75]), 4)
    assert sines.shape == (16, )
    torch.testing.assert_close(sines[:2], torch.tensor([0., -1.]), atol=1e-6, rtol=0)
    torch.testing.assert_close(sines[4:6], torch.tensor([1., 0.]), atol=1e-6, rtol=0)
