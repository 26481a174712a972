"""PolyMaX and adaptive bins: the equations."""
import pytest
import torch
from networks.base import images_of, vit
from randomised import randomise

from densevit.networks.depth import PolyMaXDepth

SMALL = dict(channels=(8, 12, 16, 20), width=16, num_queries=5, embed_dim=16, num_layers=2, num_heads=2, ffn_dim=16,
             min_depth=1., max_depth=9.)


def build(**options):
    return randomise(PolyMaXDepth(vit(depth=4, out_indices=(0, 1, 2, 3)), **SMALL, **options))


@torch.no_grad()
@pytest.mark.parametrize('centres', ['free', 'ordered'])
def test_depth_is_the_mean_of_clusters_by_their_shares(centres):
    network, seen = build(centres=centres).train(), {}
    for name in ('pixels', 'cluster_head', 'depth_head'):
        getattr(network, name).register_forward_hook(lambda _, __, out, name=name: seen.update({name: out}))
    depth = network(images_of((64, 96))).depth
    pixels, clusters = seen['pixels'].flatten(2), seen['cluster_head']
    shares = (clusters @ pixels / SMALL['embed_dim']**.5).softmax(1)
    metres = network._centres(seen['depth_head'].squeeze(2))
    assert metres.shape == (2, 5) and (metres > 1).all() and (metres < 9).all()
    torch.testing.assert_close(depth.flatten(1), (shares * metres[..., None]).sum(1))


@torch.no_grad()
def test_bins_of_one_image_fill_the_range_in_order():
    network = build(centres='ordered')
    said = torch.tensor([[0., 0., 0., 0.], [3., 1., 0., -2.]])
    even, other = network._centres(said)
    torch.testing.assert_close(even, torch.tensor([2., 4., 6., 8.]))
    widths = 8 * said[1].softmax(0)
    torch.testing.assert_close(other.diff(), (widths[1:] + widths[:-1]) / 2)
    torch.testing.assert_close(other[0], 1 + widths[0] / 2)


def test_wrong_options_are_explained():
    for message, options in [('set both, in metres', {}), ("choose 'free' or 'ordered'", dict(centres='even')),
                             ('set both, in metres', dict(min_depth=3., max_depth=2.))]:
        with pytest.raises(ValueError, match=message):
            PolyMaXDepth(vit(depth=4, out_indices=(0, 1, 2, 3)), **options)
