"""torch.compile takes PlainViT with windows in one graph, and does not compile anew for each size; it trains at any."""
import pytest
import torch
from torch._dynamo.utils import counters
from trunk_families import build

FAMILIES = ('AugReg', 'SAM', 'BEiT')
# In tokens; neither whole windows of 3 nor BEiT's own grid, which are other graphs.
GRIDS = ((4, 7), (7, 10), (8, 13))


@pytest.fixture(autouse=True)
def fresh_compiler():
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


def small(family, **kwargs):
    return build(family, window_size=3, global_blocks=(1, ), depth=2, **kwargs)


@pytest.mark.parametrize('family', FAMILIES)
@torch.no_grad()
def test_one_graph_for_all_sizes(family):
    model = small(family, window_shift=family == 'AugReg')
    compiled = torch.compile(model, fullgraph=True, dynamic=True, backend='eager')
    for rows, columns in GRIDS:
        images = torch.randn(2, 3, rows * model.stride, columns * model.stride)
        torch.testing.assert_close(compiled(images)[0], model(images)[0], rtol=1e-3, atol=1e-4)
    assert counters['stats']['unique_graphs'] == 1


@pytest.mark.parametrize('family, checkpointing', [('AugReg', True), ('EVA-02', False)])
def test_compiled_training_gives_the_same_gradients(family, checkpointing):
    model = small(family, grad_checkpointing=checkpointing).train()
    images = torch.randn(2, 3, 5 * model.stride, 4 * model.stride)
    gradients = []
    for run in (model, torch.compile(model, fullgraph=True, backend='aot_eager')):
        model.zero_grad()
        run(images)[0].square().mean().backward()
        gradients.append([p.grad.clone() for p in model.parameters()])
    for eager, compiled in zip(*gradients, strict=True):
        torch.testing.assert_close(eager, compiled, rtol=1e-3, atol=1e-4)


def test_compiled_training_at_other_sizes():
    """Learned positions are resized to each."""
    model = build('AugReg', depth=1, img_size=64).train()
    compiled = torch.compile(model, fullgraph=True, backend='aot_eager')
    for rows, columns in ((5, 7), (6, 9)):
        images = torch.randn(2, 3, rows * model.stride, columns * model.stride)
        gradients = []
        for run in (model, compiled):
            model.zero_grad()
            run(images)[0].square().mean().backward()
            gradients.append([p.grad.clone() for p in model.parameters()])
        for eager, ours in zip(*gradients, strict=True):
            torch.testing.assert_close(eager, ours, rtol=1e-3, atol=1e-4)
