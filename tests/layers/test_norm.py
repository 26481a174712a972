"""Synchronised batch norm that runs anywhere."""
import os

import pytest
import torch
import torch.distributed as dist
from mmengine.model import revert_sync_batchnorm
from mmengine.model.utils import convert_sync_batchnorm
from torch import nn

from densevit.layers import SyncBatchNorm


@pytest.fixture
def one_process():
    """A group of one, which makes torch's own layer refuse tensors on a CPU."""
    os.environ.setdefault('MASTER_ADDR', '127.0.0.1')
    dist.init_process_group('gloo', store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_cpu__is_plain_batch_norm(one_process):
    ours, plain, images = SyncBatchNorm(4), nn.BatchNorm2d(4), torch.randn(3, 4, 5, 6)
    with pytest.raises(ValueError, match='SyncBatchNorm expected'):
        nn.SyncBatchNorm(4)(images)
    torch.testing.assert_close(ours(images), plain(images))
    for name, tensor in plain.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], tensor, msg=name)
    torch.testing.assert_close(ours.eval()(images), plain.eval()(images))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='no CUDA device')
def test_gpu__is_torchs():
    ours, theirs = SyncBatchNorm(4).cuda(), nn.SyncBatchNorm(4).cuda()
    images = torch.randn(3, 4, 5, 6, device='cuda')
    torch.testing.assert_close(ours(images), theirs(images))


def test_conversions__of_mmengine():
    """`sync_bn` of a config and the reverting before a run without GPUs keep values and behaviour."""
    model, images = nn.Sequential(SyncBatchNorm(4)), torch.randn(3, 4, 5, 6)
    with torch.no_grad():
        model[0].weight.uniform_()
    expected = model(images)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for converted in (convert_sync_batchnorm(model, 'torch'), revert_sync_batchnorm(model)):
        assert not isinstance(converted[0], SyncBatchNorm)
        assert converted.state_dict().keys() == state.keys()
        torch.testing.assert_close(converted(images), expected)


def test_compile__no_graph_break():
    layer, images = SyncBatchNorm(4), torch.randn(3, 4, 5, 6)
    torch.testing.assert_close(torch.compile(layer, backend='eager', fullgraph=True)(images), layer(images))
    assert layer.num_batches_tracked == 2
