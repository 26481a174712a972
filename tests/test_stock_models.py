"""Stock models of mmdet and mmseg build, train one step and predict without compiled mmcv operators.

The configs are those that the installed packages ship, made small: thin backbones, few layers and queries.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from densevit.compat import MMCVExtStandIn, install_mmcv_ops

pytest.importorskip('mmcv')
install_mmcv_ops()  # before anything imports mmcv.ops

THIN_R50 = {'backbone.base_channels': 16}
FPN = {**THIN_R50, 'neck.in_channels': [64, 128, 256, 512]}
DETR = {
    **THIN_R50,
    'neck.in_channels': [128, 256, 512],
    'encoder.num_layers': 1,
    'decoder.num_layers': 2,
    'num_queries': 20,
    'test_cfg.max_per_img': 10,
}
ALL_SCORES = {'test_cfg.rpn.max_per_img': 20, 'test_cfg.rcnn.score_thr': 0.0, 'test_cfg.rcnn.max_per_img': 5}
ROI_OPS = {'nms', 'roi_align_forward', 'roi_align_backward'}
DEFORM_OPS = {'deform_conv_forward', 'deform_conv_backward_input'}
MODULATED_OPS = {'modulated_deform_conv_forward', 'modulated_deform_conv_backward'}

# config, what makes it small, and the operators that it must reach on any device
DETECTORS = {
    'DINO': ('dino/dino-4scale_r50_8xb2-12e_coco', DETR, set()),
    'Deformable DETR': ('deformable_detr/deformable-detr_r50_16xb2-50e_coco', DETR, set()),
    'Mask R-CNN': ('mask_rcnn/mask-rcnn_r50_fpn_1x_coco', FPN | ALL_SCORES, ROI_OPS),
    'Cascade Mask R-CNN': ('cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco', FPN | ALL_SCORES, ROI_OPS),
    'Faster R-CNN, Soft-NMS': ('faster_rcnn/faster-rcnn_r50_fpn_soft-nms_1x_coco', FPN | ALL_SCORES, {'softnms'}),
    'Faster R-CNN, DCNv2': ('dcnv2/faster-rcnn_r50-mdconv-c3-c5_fpn_1x_coco', FPN, MODULATED_OPS),
    'RetinaNet': ('retinanet/retinanet_r50_fpn_1x_coco', FPN | {'test_cfg.score_thr': 0.0}, {'nms'}),
    'ATSS': ('atss/atss_r50_fpn_1x_coco', FPN | {'test_cfg.score_thr': 0.0}, {'nms'}),
    'TOOD': ('tood/tood_r50_fpn_1x_coco', FPN | {'bbox_head.stacked_convs': 2}, DEFORM_OPS),
}
# what mmcv and mmdet compute without the operator on a CPU
ATTENTION_OPS = {'ms_deform_attn_forward', 'ms_deform_attn_backward'}
FOCAL_OPS = {'sigmoid_focal_loss_forward', 'sigmoid_focal_loss_backward'}
ON_CUDA = {'DINO': ATTENTION_OPS | FOCAL_OPS, 'Deformable DETR': ATTENTION_OPS | FOCAL_OPS, 'RetinaNet': FOCAL_OPS}
MASK2FORMER = {
    **THIN_R50,
    'decode_head.in_channels': [64, 128, 256, 512],
    'decode_head.num_queries': 10,
    'decode_head.pixel_decoder.encoder.num_layers': 1,
    'decode_head.transformer_decoder.num_layers': 2,
    'decode_head.train_cfg.num_points': 256,
}
SEGMENTORS = {
    'Mask2Former': ('mask2former/mask2former_r50_8xb2-90k_cityscapes-512x1024', MASK2FORMER),
    'UPerNet': ('upernet/upernet_r18_4xb2-40k_cityscapes-512x1024', {'decode_head.channels': 64}),
    'SegFormer': ('segformer/segformer_mit-b0_8xb1-160k_cityscapes-1024x1024', {}),
}
SIZES = [(96, 128), (64, 112)]  # height, width


def build(package: str, config: str, overrides: dict[str, Any]) -> nn.Module:
    from mmengine.config import Config
    from mmengine.model import revert_sync_batchnorm
    from mmengine.registry import DefaultScope

    root = Path(importlib.import_module(package).__file__).parent
    cfg = Config.fromfile(root / '.mim' / 'configs' / f'{config}.py')
    cfg.merge_from_dict({f'model.{key}': value for key, value in overrides.items()})
    without_pretraining(cfg.model)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope(package):
        model = importlib.import_module(f'{package}.registry').MODELS.build(cfg.model)
        model.init_weights()
    return revert_sync_batchnorm(model)


def without_pretraining(cfg: Any) -> None:
    """Nothing is downloaded: neither `pretrained` nor `init_cfg` of type Pretrained stays, at any depth."""
    if isinstance(cfg, dict):
        cfg.pop('pretrained', None)
        if isinstance(cfg.get('init_cfg'), dict) and cfg['init_cfg'].get('type') == 'Pretrained':
            cfg['init_cfg'] = None
        for value in cfg.values():
            without_pretraining(value)


def detection_batch() -> dict[str, list]:
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks
    from mmengine.structures import InstanceData

    inputs, samples = [], []
    for height, width in SIZES:
        boxes = torch.tensor([[8.0, 6.0, 60.0, 50.0], [30.0, 20.0, width - 10, height - 5]])
        masks = torch.zeros(2, height, width, dtype=torch.uint8)
        for mask, (x1, y1, x2, y2) in zip(masks, boxes.int().tolist(), strict=True):
            mask[y1:y2, x1:x2] = 1
        shape = dict(img_shape=(height, width), ori_shape=(height, width), batch_input_shape=SIZES[0])
        sample = DetDataSample(metainfo=dict(shape, pad_shape=(height, width), scale_factor=(1.0, 1.0), img_id=0))
        sample.gt_instances = InstanceData(
            bboxes=boxes, labels=torch.tensor([3, 17]), masks=BitmapMasks(masks.numpy(), height, width)
        )
        sample.ignored_instances = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long))
        inputs.append(torch.randint(0, 256, (3, height, width), dtype=torch.uint8))
        samples.append(sample)
    return dict(inputs=inputs, data_samples=samples)


def segmentation_batch() -> dict[str, list]:
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    samples, inputs = [], torch.randint(0, 256, (2, 3, *SIZES[0]), dtype=torch.uint8)
    for _ in inputs:  # two: with one image, batch normalization of the 1 x 1 pooled branch has a single value
        sample = SegDataSample(metainfo=dict(img_shape=SIZES[0], ori_shape=SIZES[0], pad_shape=SIZES[0]))
        labels = torch.randint(0, 19, (1, 6, 8)).repeat_interleave(16, 1).repeat_interleave(16, 2)
        labels[:, :8] = 255
        sample.gt_sem_seg = PixelData(data=labels)
        samples.append(sample)
    return dict(inputs=list(inputs), data_samples=samples)


def train_one_step(model: nn.Module, batch: dict[str, list]) -> None:
    model.train()
    loss, parts = model.parse_losses(model(**model.data_preprocessor(batch, True), mode='loss'))
    assert loss.isfinite() and len(parts) > 1
    loss.backward()
    grads = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    assert all(grad.isfinite().all() for grad in grads.values())
    assert any(grads[name].any() for name in grads if name.startswith('backbone'))
    torch.optim.SGD(model.parameters(), 1e-4).step()


@torch.no_grad()
def predict(model: nn.Module, batch: dict[str, list]) -> list:
    model.eval()
    return model(**model.data_preprocessor(batch, False), mode='predict')


def spy_on_operators(monkeypatch: pytest.MonkeyPatch, names: set[str]) -> set[str]:
    """The operators among `names` that are called from now on; all of them where mmcv is compiled."""
    ext, called = sys.modules['mmcv._ext'], set()
    if not isinstance(ext, MMCVExtStandIn):
        return set(names)

    def recorded(name: str, function: Callable) -> Callable:
        def spy(*args: Any, **kwargs: Any) -> Any:
            called.add(name)
            return function(*args, **kwargs)

        return spy

    for name in names:
        monkeypatch.setattr(ext, name, recorded(name, getattr(ext, name)))
    return called


def check_detector(name: str, device: str, called: set[str]) -> None:
    from mmengine.logging import MessageHub

    config, overrides, operators = DETECTORS[name]
    MessageHub.get_current_instance().update_info('epoch', 4)  # TOOD changes its assigner after four epochs
    model, batch = build('mmdet', config, overrides).to(device), detection_batch()
    train_one_step(model, batch)
    results = predict(model, batch)
    assert operators <= called
    for result, (height, width) in zip(results, SIZES, strict=True):
        found = result.pred_instances
        assert found.bboxes.shape == (len(found), 4) and found.bboxes.isfinite().all()
        if 'Mask' in name:
            assert len(found) and found.masks.shape == (len(found), height, width)


@pytest.mark.parametrize('name', DETECTORS)
def test_detector_trains_and_predicts(name, monkeypatch):
    pytest.importorskip('mmdet')
    check_detector(name, 'cpu', spy_on_operators(monkeypatch, DETECTORS[name][2]))


@pytest.mark.parametrize('name', SEGMENTORS)
def test_segmentor_trains_and_predicts(name):
    pytest.importorskip('mmseg')
    config, overrides = SEGMENTORS[name]
    model = build('mmseg', config, {'data_preprocessor.size': SIZES[0], **overrides})
    batch = segmentation_batch()
    train_one_step(model, batch)
    for result in predict(model, batch):
        assert result.seg_logits.data.shape == (19, *SIZES[0]) and result.seg_logits.data.isfinite().all()
        assert result.pred_sem_seg.data.shape == (1, *SIZES[0])


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
@pytest.mark.parametrize('name', DETECTORS)
def test_detector_trains_and_predicts_on_cuda(name, monkeypatch):
    pytest.importorskip('mmdet')
    expected = DETECTORS[name][2] | ON_CUDA.get(name, set())
    called = spy_on_operators(monkeypatch, expected)
    check_detector(name, 'cuda', called)
    assert expected <= called
