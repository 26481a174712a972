"""Synchronised batch norm that runs anywhere."""
import copy
import os

import pytest
import timm
import torch
import torch.distributed as dist
from interpreters import SERVER
from joined_norms import SHARDED, step, work
from mmengine.model import revert_sync_batchnorm
from mmengine.model.utils import convert_sync_batchnorm
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.modules import batchnorm
from torch.nn.parallel import DistributedDataParallel

from densevit.layers import SyncBatchNorm, joined_processes, synchronise_anywhere


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
    assert joined_processes(ours) == joined_processes(plain) == 1


def network(norm=SyncBatchNorm, channels=4, **options):
    """Two norms, so that gradients pass one on their way to the images."""
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Conv2d(3, channels, 3, padding=1), norm(channels, **options), nn.GELU(),
        nn.Conv2d(channels, channels, 1, bias=False), norm(channels, **options))
    with torch.no_grad():
        for parameter in layers.parameters():
            parameter.normal_()
    return layers.double()


def plain(layers):
    """The same with torch's norms of one process."""
    layers = copy.deepcopy(layers)
    for module in layers.modules():
        if isinstance(module, batchnorm._BatchNorm):
            module.__class__ = nn.BatchNorm2d
    return layers


def test_cpu__two_processes_are_one_with_the_joined_batch(tmp_path):
    images = torch.randn(5, 3, 6, 4, dtype=torch.double, generator=torch.Generator().manual_seed(0))
    cases = [
        (network(), images, (3, 2), DistributedDataParallel),
        (network(momentum=None), images, (4, 1), SHARDED),
        (network(track_running_stats=False, affine=False), images, (3, 2), DistributedDataParallel),
        (network(), images[:2, :, :1, :1], (1, 1), DistributedDataParallel),  # a single value per process
        (network(nn.SyncBatchNorm), images, (3, 2), DistributedDataParallel),  # DDP refuses it as it is
        (nn.Sequential(SyncBatchNorm(3)), images.float() + 3000, (3, 2), DistributedDataParallel)]  # far from zero
    torch.multiprocessing.start_processes(
        work, (str(tmp_path), cases), nprocs=2, start_method=SERVER.get_start_method())
    files = [torch.load(tmp_path / f'{rank}.pt') for rank in range(2)]
    assert files[0]['joined'] == [1, 2]
    for index, (layers, batch, shares, wrapper) in enumerate(cases):
        whole, parts = step(plain(layers), batch, 1), [file['results'][index] for file in files]
        far = 1e-7 if batch.dtype == torch.double else 2e-2  # without a digit of the variance all would be far off
        for name in ('outputs', 'images'):
            assert [len(part[name]) for part in parts] == list(shares)
            torch.testing.assert_close(torch.cat([part[name] for part in parts]), whole[name], rtol=far, atol=far)
        for name in ('buffers', 'parameters')[:1 if wrapper is SHARDED else 2]:  # of which each has a piece
            for part in parts:
                torch.testing.assert_close(part[name], whole[name], rtol=far, atol=10 * far)


def test_accelerators__run_torchs_function(one_process, monkeypatch):
    calls = []
    monkeypatch.setattr(dist, 'get_world_size', lambda group=None: 2)
    monkeypatch.setattr(batchnorm.sync_batch_norm, 'apply', lambda *args: calls.append(args) or args[0])
    with FakeTensorMode():  # tensors without values, on a GPU that need not be there
        SyncBatchNorm(4, device='cuda')(torch.randn(2, 4, 3, 3, device='cuda'))
    assert len(calls) == 1 and calls[0][-1] == 2


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='no CUDA device')
def test_gpu__is_torchs():
    ours, theirs = SyncBatchNorm(4).cuda(), nn.SyncBatchNorm(4).cuda()
    images = torch.randn(3, 4, 5, 6, device='cuda')
    torch.testing.assert_close(ours(images), theirs(images))


@torch.no_grad()
def test_conversions__activations_of_timm_survive():
    trunk = timm.create_model('regnety_002', num_classes=0).eval()
    images = torch.randn(1, 3, 64, 64)
    expected = trunk(images)
    converted = convert_sync_batchnorm(trunk, 'torch').eval()
    assert not torch.allclose(converted(images), expected)
    torch.testing.assert_close(synchronise_anywhere(converted)(images), expected)


def test_conversions__of_mmengine():
    """`sync_bn` of a config and the reverting before a run without GPUs keep values and behaviour."""
    model, images = nn.Sequential(SyncBatchNorm(4)), torch.randn(3, 4, 5, 6)
    with torch.no_grad():
        model[0].weight.uniform_()
    expected = model(images)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for converted in (convert_sync_batchnorm(model, 'torch'), revert_sync_batchnorm(model)):
        assert converted.state_dict().keys() == state.keys()
        torch.testing.assert_close(converted(images), expected)


def test_compile__no_graph_break():
    layer, images = SyncBatchNorm(4), torch.randn(3, 4, 5, 6)
    torch.testing.assert_close(torch.compile(layer, backend='eager', fullgraph=True)(images), layer(images))
    assert layer.num_batches_tracked == 2
