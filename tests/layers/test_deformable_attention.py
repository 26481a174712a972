"""Multi-scale deformable attention, Deformable DETR (arXiv:2010.04159), eq. 3, as loops and in reference code."""
from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from official import assert_close, importable, repository
from randomised import randomise
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounterWithBackend

from densevit.layers import DeformableAttention, deformable_attention, multi_scale_deformable_attention

SHAPES = [(4, 6), (3, 2), (1, 3)]
BATCH, QUERIES, HEADS, POINTS, DIM = 2, 5, 2, 3, 4
TOKENS = sum(h * w for h, w in SHAPES)


@pytest.fixture(params=['bags', 'grid_sample'])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to compute it: that of a CPU, and that of a GPU and of an export."""
    if request.param == 'grid_sample':
        monkeypatch.setattr(deformable_attention, '_is_exporting', lambda: True)
    return request.param


def case(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """Value, locations of which some lie outside of the maps, and weights."""
    generator = torch.Generator().manual_seed(0)
    points = BATCH, QUERIES, HEADS, len(SHAPES), POINTS
    value = torch.randn(BATCH, TOKENS, HEADS, DIM, dtype=torch.float64, generator=generator)
    locations = torch.rand(*points, 2, dtype=torch.float64, generator=generator) * 1.6 - .3
    weights = torch.rand(points, dtype=torch.float64, generator=generator)
    return tuple(tensor.to(dtype).requires_grad_() for tensor in (value, locations, weights))


def sample(plane: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Bilinear on (H, W, D), pixel centres at +.5, 0 outside."""
    x, y = x * plane.shape[1] - .5, y * plane.shape[0] - .5
    left, top = int(torch.floor(x)), int(torch.floor(y))
    return plane.sum((0, 1)) * 0 + sum(
        plane[i, j] * (1 - (y - i).abs()) * (1 - (x - j).abs())
        for i in (top, top + 1) for j in (left, left + 1) if 0 <= i < plane.shape[0] and 0 <= j < plane.shape[1])


def loops(value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
    parts = value.split([h * w for h, w in SHAPES], 1)
    maps = [part.unflatten(1, shape) for part, shape in zip(parts, SHAPES, strict=True)]
    return torch.stack([
        sum(weights[b, q, m, level, p] * sample(plane[b, :, :, m], *locations[b, q, m, level, p])
            for level, plane in enumerate(maps) for p in range(POINTS))
        for b in range(BATCH) for q in range(QUERIES) for m in range(HEADS)]).view(BATCH, QUERIES, HEADS * DIM)


def attend(value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
    return multi_scale_deformable_attention(value, SHAPES, locations, weights)


def test_function__equals_loops_with_gradients(path):
    tensors = case()
    ours, theirs = attend(*tensors), loops(*tensors)
    torch.testing.assert_close(ours, theirs)
    direction = torch.randn(ours.shape, dtype=ours.dtype, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(*(torch.autograd.grad(out, tensors, direction) for out in (ours, theirs)))


def test_function__gradcheck(path):
    torch.autograd.gradcheck(attend, case())


def test_function__sums_in_single_precision(path):
    for dtype in [torch.float16, torch.bfloat16, torch.float32]:
        tensors = case(dtype)
        out = attend(*tensors)
        exact = loops(*(tensor.detach().double() for tensor in tensors))
        torch.testing.assert_close(out.double(), exact, rtol=torch.finfo(dtype).eps,
                                   atol=8 * torch.finfo(torch.float).eps)
        out.float().square().sum().backward()
        assert out.dtype == dtype
        assert all(tensor.grad.dtype == dtype and tensor.grad.isfinite().all() for tensor in tensors)


def test_function__takes_values_in_half_beside_locations_in_single_precision(path):
    """What autocast gives."""
    value, locations, weights = case(torch.float)
    out = attend(value.bfloat16(), locations, weights)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), loops(value.bfloat16().float(), locations, weights), rtol=.01, atol=1e-5)


def test_function__the_two_paths_agree_on_a_pyramid(monkeypatch):
    shapes, generator = [(20, 31), (10, 16), (5, 8), (1, 1)], torch.Generator().manual_seed(0)
    tokens = sum(h * w for h, w in shapes)
    value = torch.randn(3, 2, tokens, 8, generator=generator).transpose(1, 2)  # as a view
    locations = torch.randn(3, 50, 2, 4, 2, 2, generator=generator) * .5 + .5
    weights = torch.rand(3, 50, 2, 4, 2, generator=generator)
    results = []
    for exporting in False, True:
        monkeypatch.setattr(deformable_attention, '_is_exporting', lambda answer=exporting: answer)
        leaves = [tensor.clone().requires_grad_() for tensor in (value, locations, weights)]
        out = multi_scale_deformable_attention(leaves[0], shapes, *leaves[1:])
        results.append([out, *torch.autograd.grad(out.square().sum(), leaves)])
    assert_close(*results)


def test_function__points_outside_count_as_zero(path):
    for far in [-1e9, -.6, 1.6, 1e9, float('inf')]:
        value, locations, weights = case(torch.float)
        locations = torch.full_like(locations, .5).index_fill(-1, torch.tensor([0]), far).requires_grad_()
        out = attend(value, locations, weights)
        if far != float('inf'):  # of which grid_sample makes no number
            assert not out.any()
            assert not any(grad.any() for grad in torch.autograd.grad(out.sum(), (value, locations, weights)))


def test_function__a_location_that_is_no_number_harms_its_query_alone():
    value, locations, weights = (tensor.detach() for tensor in case(torch.float))
    expected = attend(value, locations, weights)
    locations[1, 2] = float('nan')
    out = attend(value, locations, weights)
    assert out[1, 2].isnan().all()
    out[1, 2] = expected[1, 2]
    torch.testing.assert_close(out, expected)


def test_function__no_queries(path):
    value, locations, weights = case(torch.float)
    assert attend(value, locations[:, :0], weights[:, :0]).shape == (BATCH, 0, HEADS * DIM)


def test_function__says_that_shapes_do_not_fit():
    for shapes in [[(4, 6), (3, 2)], [(4, 6), (3, 2), (1, 4)], [(4, 6), (3, 3)]]:
        value, locations, weights = case()
        with pytest.raises(ValueError, match=f'{TOKENS} values and weights for 3 levels, but spatial_shapes='):
            multi_scale_deformable_attention(value, shapes, locations, weights)


def test_operator__fits_into_pytorch():
    """Its shapes without data, its gradient and its schema are what torch.compile takes them for."""
    sizes = [side for shape in SHAPES for side in shape]
    value, *rest = case(torch.float)
    torch.library.opcheck(torch.ops.densevit.deformable_bags.default, (value, sizes, *rest))


def build(num_heads: int = 4, width: int = 32, value_ratio: float = 1.) -> DeformableAttention:
    return randomise(DeformableAttention(width, num_heads, len(SHAPES), POINTS, value_ratio))


def module_inputs(coordinates: int = 2, width: int = 32) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return (torch.randn(BATCH, QUERIES, width, generator=generator),
            torch.rand(BATCH, QUERIES, len(SHAPES), coordinates, generator=generator),
            torch.randn(BATCH, TOKENS, width, generator=generator))


def padding() -> Tensor:
    return torch.arange(TOKENS) > torch.tensor([[TOKENS - 1], [TOKENS - 9]])  # (B, S)


def mmcv_attention(monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    """mmcv's module over mmcv's own function."""
    pytest.importorskip('mmcv')
    import densevit  # noqa: F401  (its operators, without which mmcv.ops cannot be imported)
    module = pytest.importorskip('mmcv.ops.multi_scale_deform_attn')
    if hasattr(module, 'replaced'):
        monkeypatch.setattr(module, 'multi_scale_deformable_attn_pytorch', module.replaced)
    return module.MultiScaleDeformableAttention(32, 4, len(SHAPES), POINTS, dropout=0., batch_first=True)


@pytest.mark.parametrize('coordinates', [2, 4])
def test_module__equals_mmcv(monkeypatch, coordinates):
    reference, ours = randomise(mmcv_attention(monkeypatch)), build()
    ours.load_state_dict(reference.state_dict())
    query, points, value = module_inputs(coordinates)
    expected = reference(
        query, value=value, identity=torch.zeros_like(query), key_padding_mask=padding(), reference_points=points,
        spatial_shapes=torch.tensor(SHAPES))
    assert_close([ours(query, points, value, SHAPES, padding())], [expected])


def test_module__begins_as_mmcv(monkeypatch):
    reference = dict(mmcv_attention(monkeypatch).named_parameters())
    for name, parameter in DeformableAttention(32, 4, len(SHAPES), POINTS).named_parameters():
        if name in ('value_proj.weight', 'output_proj.weight'):
            bound = (6 / 64) ** .5  # Xavier, uniform
            assert .9 * bound < parameter.abs().max() <= bound
        else:
            torch.testing.assert_close(parameter, reference[name])


@pytest.mark.parametrize('coordinates', [2, 4])
def test_module__equals_transformers(coordinates):
    from transformers import DeformableDetrConfig
    from transformers.models.deformable_detr import modeling_deformable_detr as theirs
    config = DeformableDetrConfig(d_model=32, num_feature_levels=len(SHAPES), disable_custom_kernels=True)
    reference = randomise(theirs.DeformableDetrMultiscaleDeformableAttention(config, 4, POINTS))
    ours = build()
    ours.load_state_dict(reference.state_dict())
    query, points, value = module_inputs(coordinates)
    expected, _ = reference(
        query, attention_mask=~padding(), encoder_hidden_states=value, reference_points=points,
        spatial_shapes=torch.tensor(SHAPES), spatial_shapes_list=SHAPES)
    assert_close([ours(query, points, value, SHAPES, padding())], [expected])


@pytest.mark.parametrize('coordinates', [2, 4])
def test_module__equals_official_code_with_narrow_values(coordinates):
    folder = repository('ViT-CoMer') / 'detection'
    with importable(folder, stubs={'MultiScaleDeformableAttention': {}}):
        from ops.functions import ms_deform_attn_func
        from ops.modules import ms_deform_attn

        def without_cuda(value, shapes, start, locations, weights, step):
            return ms_deform_attn_func.ms_deform_attn_core_pytorch(value, shapes, locations, weights)

        ms_deform_attn.MSDeformAttnFunction = SimpleNamespace(apply=without_cuda)
        reference = randomise(ms_deform_attn.MSDeformAttn(32, len(SHAPES), 4, POINTS, ratio=.5))
    ours = build(value_ratio=.5)
    ours.load_state_dict(reference.state_dict())
    query, points, value = module_inputs(coordinates)
    points = points[:1, :, :1]  # of all images and levels
    expected = reference(query, points, value, torch.tensor(SHAPES), None, padding())
    assert_close([ours(query, points, value, SHAPES, padding())], [expected])


def test_module__every_parameter_learns():
    module = build()
    module(*module_inputs(), SHAPES).square().sum().backward()
    assert all(parameter.grad.any() for parameter in module.parameters())


def test_module__bf16_autocast_on_a_cpu():
    module, inputs = build(), module_inputs()
    with torch.autocast('cpu', torch.bfloat16):
        out = module(*inputs, SHAPES)
    expected = module(*inputs, SHAPES)
    assert out.dtype == torch.bfloat16
    assert (out - expected).abs().mean() < .05 * expected.std()


def test_module__compiles_once_for_all_sizes():
    module, counter = build(), CompileCounterWithBackend('aot_eager')
    compiled = torch.compile(module, fullgraph=True, dynamic=True, backend=counter)
    for height in 4, 5, 7:
        shapes = [(height, height + 1), (height - 1, 4), (2, height)]
        value = torch.randn(BATCH, sum(h * w for h, w in shapes), 32)
        inputs = value, torch.rand(1, value.shape[1], 1, 2), value
        out, expected = (net(*inputs, shapes) for net in (compiled, module))
        torch.testing.assert_close(out, expected)
        torch.testing.assert_close(*(
            torch.autograd.grad(result.square().sum(), module.sampling_offsets.weight) for result in (out, expected)))
    assert counter.frame_count == 1


class Pyramid(nn.Module):
    """Attention of the pixels of two maps to both."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = DeformableAttention(32, 4, 2, POINTS)

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        value = torch.cat([fine.flatten(2), coarse.flatten(2)], 2).transpose(1, 2)
        references = value.new_full((1, value.shape[1], 1, 2), .5)
        return self.attention(value, references, value, [tuple(x.shape[2:]) for x in (fine, coarse)])


ANY_SIZE = [{2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}] * 2


def maps(height: int, width: int) -> tuple[Tensor, Tensor]:
    return torch.randn(1, 32, height, width), torch.randn(1, 32, height // 2, width // 2)


def test_module__exports_with_standard_operators_for_any_size():
    model = randomise(Pyramid())
    program = torch.export.export(model, maps(6, 8), dynamic_shapes=ANY_SIZE)
    assert not [node for node in program.graph.nodes if 'densevit' in str(node.target)]
    inputs = maps(10, 7)
    assert_close([program.module()(*inputs)], [model(*inputs)])


def test_module__onnx_runtime_gives_the_same(tmp_path):
    for package in ('onnx', 'onnxscript'):
        pytest.importorskip(package)
    runtime = pytest.importorskip('onnxruntime')
    model, path = randomise(Pyramid()), tmp_path / 'attention.onnx'
    torch.onnx.export(model, maps(6, 8), path, dynamo=True, dynamic_shapes=ANY_SIZE, verbose=False)
    session, inputs = runtime.InferenceSession(path), maps(10, 7)
    names = [tensor.name for tensor in session.get_inputs()]
    out, = session.run(None, {name: tensor.numpy() for name, tensor in zip(names, inputs, strict=True)})
    assert_close([torch.from_numpy(out)], [model(*inputs)])


def test_module__traces():
    module = build().requires_grad_(False)
    query, points, value = module_inputs()
    traced = torch.jit.trace(lambda *inputs: module(*inputs, SHAPES), (query, points, value))
    torch.testing.assert_close(traced(query + 1, points, value), module(query + 1, points, value, SHAPES))


def test_module__says_that_heads_do_not_fit():
    with pytest.raises(ValueError, match='3 heads do not divide the width 16'):
        DeformableAttention(32, 3, value_ratio=.5)


def test_module__says_that_inputs_do_not_fit():
    query, points, value = module_inputs()
    with pytest.raises(ValueError, match='3 coordinates; give 2'):
        build()(query, torch.rand(1, QUERIES, 1, 3), value, SHAPES)
    with pytest.raises(ValueError, match='2 spatial shapes for num_levels=3'):
        build()(query, points, value, SHAPES[:2])


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_module__a_gpu_gives_the_same():
    results = []
    for device in ('cpu', 'cuda'):
        module = build().to(device)
        out = module(*(tensor.to(device) for tensor in module_inputs()), SHAPES)
        out.square().sum().backward()
        results.append([out.cpu(), *(parameter.grad.cpu() for parameter in module.parameters())])
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-4)
