"""The configs' recipe against the published one: arXiv:2503.19108, appendix A, and the authors' configurations."""
from copy import deepcopy
from itertools import product

import numpy as np
import pytest
import timm
import torch
from mmcv.transforms import Compose
from mmengine.optim import build_optim_wrapper
from mmengine.registry import HOOKS, MODELS, TRANSFORMS
from own import build, shrink
from shrink import OPTIONS, load, scope, steps
from timm.layers import resample_abs_pos_embed, resample_patch_embed
from torchvision.transforms import v2
from torchvision.tv_tensors import Image

import densevit.registry  # noqa: F401
from densevit.backbones import PlainViT
from densevit.networks.segmentation.eomt import annealed_probs

DATASETS = dict(ade20k=512, cityscapes=1024)


@pytest.mark.parametrize(('name', 'starts', 'ends'), [
    ('eomt_vitl_ade20k', [6520, 13040, 19560, 26080], [13040, 19560, 26080, 32600]),
    ('eomt_vitl_cityscapes', [3317, 6634, 9951, 13268], [6634, 9951, 13268, 16585]),
    ('eomt_vitl_dinov3_ade20k', [0, 6520, 9780, 13040], [3000, 9780, 13040, 16300]),
])
def test_annealing__published_steps(name, starts, ends):
    cfg = load(f'configs/eomt/{name}.py')
    hook = HOOKS.build(cfg.custom_hooks[0])
    total, num_blocks = cfg.train_cfg.max_iters, cfg.model.head.num_blocks

    def prob(step, block):
        return annealed_probs(step / total, num_blocks, **hook.options)[block]

    for block, (start, end) in enumerate(zip(starts, ends, strict=True)):
        assert prob(start, block) == pytest.approx(1., abs=1e-9) and prob(start + 1, block) < .9999
        assert prob(end, block) == pytest.approx(0., abs=1e-9) and prob(end - 1, block) > .0001
        assert prob((start + end) / 2, block) == pytest.approx(.5**.9)


def test_annealing__every_size_has_a_start_for_each_block():
    for size, dataset in product('sbl', DATASETS):
        cfg = load(f'configs/eomt/eomt_vit{size}_dinov3_{dataset}.py')
        assert len(cfg.custom_hooks[0].starts) == cfg.model.head.num_blocks


@pytest.mark.parametrize(('name', 'expected'), [
    ('eomt_vitl_ade20k', {('head', 1e-4), *(('backbone', 1e-4 * .8**power) for power in range(6))}),
    ('eomt_vitl_dinov3_ade20k', {('head', 2e-4), ('backbone', 2e-4)}),
])
def test_optimizer__published_rates(name, expected):
    cfg = load(f'configs/eomt/{name}.py', **OPTIONS)
    with scope(cfg):
        optim_wrapper = build_optim_wrapper(MODELS.build(cfg.model), cfg.optim_wrapper)
    groups = optim_wrapper.optimizer.param_groups
    assert sorted((group['stage'], round(group['lr'], 12)) for group in groups) == sorted(
        (stage, round(lr, 12)) for stage, lr in expected)
    assert {group['weight_decay'] for group in groups} == {.05}
    assert optim_wrapper.clip_grad_kwargs == dict(max_norm=.01)


@pytest.mark.parametrize('dataset', DATASETS)
def test_train_pipeline__crop_of_padded_image(dataset):
    size = DATASETS[dataset]
    cfg = load(f'configs/eomt/eomt_vits_{dataset}.py')
    with scope(cfg):
        pipeline = Compose([step for step in cfg.train_pipeline if 'Load' not in step.type])
    for seed in range(3):
        np.random.seed(seed)
        packed = pipeline(_sample(size // 4, size // 2))
        image, labels = packed['inputs'], packed['data_samples'].gt_sem_seg.data[0]
        assert image.shape == (3, size, size) and labels.shape == (size, size)
        padding = labels == 255
        assert padding.any() and not padding.all() and (image[:, padding] == 0).all()


def test_train_pipeline__no_crop_without_a_label():
    sample = _sample(128, 512)
    sample['gt_seg_map'][:, 4:] = 255
    cfg = load('configs/eomt/eomt_vits_ade20k.py')
    with scope(cfg):
        pipeline = Compose([step for step in cfg.train_pipeline if 'Load' not in step.type])
    for seed in range(8):
        np.random.seed(seed)
        labels = pipeline(deepcopy(sample))['data_samples'].gt_sem_seg.data
        assert (labels != 255).any()


@pytest.mark.parametrize('name', ['ade20k', 'dinov3_coco_instance_640'])
def test_network__supervised_before_each_block_to_the_end(name):
    """The authors' network predicts there whether a mask is annealed away or not."""
    network = build(shrink(load(f'configs/eomt/eomt_vitl_{name}.py'))).network
    network.set_mask_probs([0.] * network.num_blocks)
    assert len(network(torch.zeros(1, 3, 64, 64))) == network.num_blocks + 1


@pytest.mark.parametrize('dataset', DATASETS)
def test_train_pipeline__scale_jitter_is_torchvisions(dataset, monkeypatch):
    size = DATASETS[dataset]
    cfg = load(f'configs/eomt/eomt_vits_{dataset}.py')
    with scope(cfg):
        ours = TRANSFORMS.build(next(step for step in steps(cfg.train_pipeline) if step.type == 'RandomResize'))
    theirs = v2.ScaleJitter((size, size), scale_range=(.5, 2.))
    for share in (0., .13, .5, .77, .999):
        monkeypatch.setattr(np.random, 'random_sample', lambda share=share: share)
        monkeypatch.setattr(torch, 'rand', lambda *shape, share=share: torch.full((1, ), share))
        for shape in ((480, 640), (333, 517), (1024, 2048), (700, 200), (512, 512)):
            expected = theirs.make_params([Image(torch.zeros(3, *shape))])['size']
            resized = ours(_sample(*shape))
            assert np.abs(np.subtract(resized['img_shape'], expected)).max() <= 1
            assert resized['gt_seg_map'].shape == resized['img_shape']


@pytest.mark.parametrize('dataset', DATASETS)
def test_test_pipeline__shorter_side_is_the_window(dataset):
    size = DATASETS[dataset]
    cfg = load(f'configs/eomt/eomt_vits_{dataset}.py')
    with scope(cfg):
        resize = TRANSFORMS.build(next(step for step in cfg.test_pipeline if 'Resize' in step.type))
    for shape in ((480, 640), (683, 512), (333, 517), (1024, 2048), (256, 1700), (64, 64)):
        expected = tuple(round(side * size / min(shape)) for side in shape)
        assert resize(_sample(*shape))['img_shape'] == expected
    assert tuple(cfg.model.test_cfg.crop_size) == (size, size)


def test_colour_jitter__hue_is_in_degrees_of_opencv():
    """18 of 360 degrees are 9 of the 180 that OpenCV has on the hue circle."""
    cfg = load('configs/eomt/eomt_vits_ade20k.py')
    with scope(cfg):
        jitter = TRANSFORMS.build(next(step for step in cfg.train_pipeline if 'PhotoMetric' in step.type))
    red = np.zeros((1, 1, 3), np.uint8)
    red[..., 2] = 255
    hues = set()
    for seed in range(200):
        np.random.seed(seed)
        blue, green, _ = jitter.hue(red)[0, 0].tolist()
        hues.add(60 * (green - blue) / 255)
    assert -18.5 < min(hues) < -15 and 13 < max(hues) < 18.5


def test_pretrained__timm_resizes_kernel_and_positions(tmp_path):
    """`pretrained=True` with patch_size=16 and another img_size, as in the configs, from a file instead of the hub."""
    name, sizes = 'vit_small_patch14_reg4_dinov2', dict(embed_dim=32, depth=2, num_heads=2)
    torch.manual_seed(0)
    released = timm.create_model(name, img_size=70, num_classes=0, **sizes).state_dict()
    torch.save(released, tmp_path / 'released.pth')
    backbone = PlainViT(
        name, pretrained=True, pretrained_cfg_overlay=dict(file=str(tmp_path / 'released.pth')), img_size=(64, 128),
        patch_size=16, **sizes)
    loaded = backbone.trunk.state_dict()
    kernel = resample_patch_embed(released['patch_embed.proj.weight'], [16, 16])
    torch.testing.assert_close(loaded['patch_embed.proj.weight'], kernel)
    positions = resample_abs_pos_embed(released['pos_embed'], [4, 8], [5, 5], num_prefix_tokens=0)
    torch.testing.assert_close(loaded['pos_embed'], positions)
    assert set(loaded) == set(released)
    for key in set(loaded) - {'patch_embed.proj.weight', 'pos_embed'}:
        torch.testing.assert_close(loaded[key], released[key], rtol=0, atol=0)


def test_dinov3__biases_of_the_released_models():
    """Queries and values have a bias, keys have none, as in transformers' DINOv3ViTConfig."""
    cfg = load('configs/eomt/eomt_vits_dinov3_ade20k.py', **OPTIONS)
    with scope(cfg):
        names = dict(MODELS.build(cfg.model.backbone).trunk.blocks[0].attn.named_parameters())
    assert {'q_bias', 'v_bias'} <= set(names) and 'k_bias' not in names and 'qkv.bias' not in names


def _sample(height: int, width: int) -> dict:
    rng = np.random.RandomState(0)
    return dict(
        img=rng.randint(1, 256, (height, width, 3), dtype=np.uint8), img_shape=(height, width),
        ori_shape=(height, width), gt_seg_map=rng.randint(0, 19, (height, width), dtype=np.uint8),
        seg_fields=['gt_seg_map'])
