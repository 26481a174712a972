"""The equations of ReMaX, entry by entry."""
import torch

from densevit.networks.segmentation.kmax.remax import relax_labels, relax_masks


def test_masks_are_gated_by_the_class_that_a_pixel_and_a_query_share():
    masks, classes, semantic = torch.randn(2, 3, 4, 5), torch.randn(2, 3, 7), torch.randn(2, 6, 4, 5)
    relaxed = relax_masks(masks, classes, semantic)
    for b in range(2):
        for q in range(3):
            gate = sum(classes[b, q, c].sigmoid() * semantic[b, c].sigmoid() for c in range(6))
            torch.testing.assert_close(relaxed[b, q], masks[b, q] + gate * masks[b, q])


def test_a_mask_grows_only_where_its_class_is_seen():
    masks, classes = torch.ones(1, 1, 1, 2), torch.full((1, 1, 4), -30.)
    classes[..., 2] = 30.
    semantic = torch.full((1, 3, 1, 2), -30.)
    semantic[0, 2, 0, 0], semantic[0, 1, 0, 1] = 30., 30.
    torch.testing.assert_close(relax_masks(masks, classes, semantic).flatten(), torch.tensor([2., 1.]))
    classes[..., 2], classes[..., 3] = -30., 30.  # "no object" is no class of pixels
    torch.testing.assert_close(relax_masks(masks, classes, semantic).flatten(), torch.tensor([1., 1.]))


def test_the_semantic_branch_learns_nothing_from_masks():
    parts = [torch.randn(shape, requires_grad=True) for shape in ((1, 3, 4, 5), (1, 3, 7), (1, 6, 4, 5))]
    relax_masks(*parts).square().sum().backward()
    assert parts[0].grad.abs().sum() > 0 and parts[1].grad.abs().sum() > 0 and parts[2].grad is None


def test_labels_soften_by_the_share_of_each_class_that_a_mask_covers():
    masks = torch.randn(2, 3, 4, 5)
    owner = torch.randint(5, (2, 4, 5))  # of classes 0 to 2; 3 is of no pixel, 4 of none at all
    semantic = torch.stack([owner == c for c in range(3)] + [torch.zeros_like(owner, dtype=torch.bool)], 1).float()
    one_hot = torch.nn.functional.one_hot(torch.tensor([[0, 4, 2], [4, 3, 1]]), 5).float()
    soft = relax_labels(one_hot, masks, semantic, eta=.1)
    for b in range(2):
        for q in range(3):
            for c in range(4):
                area = semantic[b, c].sum()
                y = (masks[b, q].sigmoid() * semantic[b, c]).sum() / area if area else torch.tensor(0.)
                torch.testing.assert_close(soft[b, q, c], .1 * y + (1 - .1 * y) * one_hot[b, q, c])
    assert torch.equal(soft[..., -1], one_hot[..., -1])
    assert torch.equal(relax_labels(one_hot, masks, semantic, eta=0.), one_hot)
