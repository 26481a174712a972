"""Two processes, of which one or both have an image without objects: a step of distributed training."""
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from interpreters import SERVER
from networks.base import images_of
from networks.detection.test_every_detector import NUM_CLASSES, ROWS, TARGETS, build
from torch import nn
from torch.nn.parallel import DistributedDataParallel

TIMEOUT = timedelta(seconds=300)  # a process that waits for a gradient which never comes ends then
CASES = dict(one=TARGETS, none=TARGETS[1:] * 2)  # targets of the two processes; the second one has no objects
# In the others points or noise are drawn, or losses depend on the queries of a batch.
SAME_AS_ONE_PROCESS = ('LWDETR', 'PlainDETR')


def prepare(name):
    """Batch norms that do not depend on the batch."""
    network = build(name).train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    return network


def step(network, images, targets):
    """The losses, and the gradients by the names of the parameters."""
    model = getattr(network, 'module', network)
    torch.manual_seed(0)
    losses = model.loss_class(NUM_CLASSES)(network(images, *((targets, ) if model.takes_targets else ())), targets)
    sum(losses.values()).backward()
    return dict(losses={key: loss.item() for key, loss in losses.items()},
                gradients={key: parameter.grad for key, parameter in model.named_parameters()})


def work(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group('gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2, timeout=TIMEOUT)
    for name in ROWS:
        for case, targets in CASES.items():
            network = DistributedDataParallel(prepare(name))
            found = step(network, images_of((64, 96))[rank:rank + 1], targets[rank:rank + 1])
            torch.save(found, Path(folder, f'{name}_{case}_{rank}.pth'))
    dist.destroy_process_group()


@pytest.fixture(scope='module')
def steps(tmp_path_factory):
    """What each step was, by network, case and process."""
    folder = tmp_path_factory.mktemp('steps')
    mp.start_processes(work, (str(folder), ), nprocs=2, start_method=SERVER.get_start_method())
    return lambda name, case, rank: torch.load(folder / f'{name}_{case}_{rank}.pth')


@pytest.mark.parametrize('case', CASES)
@pytest.mark.parametrize('name', ROWS)
def test_every_parameter_learns_the_same_in_both(steps, name, case):
    """Without a search for parameters that the loss of one process does not reach."""
    first, second = (steps(name, case, rank) for rank in (0, 1))
    for parameter, gradient in first['gradients'].items():
        assert gradient is not None and gradient.isfinite().all(), parameter
        assert torch.equal(gradient, second['gradients'][parameter]), parameter
    assert torch.tensor([*first['losses'].values(), *second['losses'].values()]).isfinite().all()
    # There is no box to learn, and classes learn that there is none.
    assert not any(loss for key, loss in second['losses'].items() if 'bbox' in key or 'mask' in key)
    assert second['losses']['loss_cls'] > 0.


@pytest.mark.parametrize('name', SAME_AS_ONE_PROCESS)
def test_gradients_are_those_of_one_process_with_both_images(steps, name):
    """Losses are divided by the objects of both processes, and not each by its own."""
    found = steps(name, 'one', 0)['gradients']
    expected = step(prepare(name), images_of((64, 96)), CASES['one'])['gradients']
    learned = [parameter for parameter, gradient in expected.items() if gradient.norm() > 1e-3]
    assert len(learned) > .8 * len(expected)
    for parameter in learned:  # twice as much, or half, if each process counted its own
        assert (found[parameter] - expected[parameter]).norm() < .01 * expected[parameter].norm(), parameter
