"""Stock models of mmdet and mmseg build, train one step and predict without compiled mmcv operators.

The configs are those that the installed packages ship, made small: thin backbones, few layers and queries.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from stock_models import SIZES, build, detection_batch, predict, segmentation_batch, train_one_step

from densevit.compat import MMCVExtStandIn

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
