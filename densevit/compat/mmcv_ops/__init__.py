"""The operators of ``mmcv._ext`` in PyTorch and torchvision, forward and backward, on any device.

Each function has the name, the arguments and the in-place outputs of the compiled operator that it stands for, so
that the Python half of ``mmcv.ops`` calls it unchanged. Nothing here imports mmcv; ``densevit.compat`` does the wiring.
"""

from __future__ import annotations

from collections.abc import Callable

from . import (
    boxes,
    carafe,
    deform_conv,
    deformable_attention,
    focal_loss,
    masked_conv,
    psa_mask,
    roi_align,
    roi_pool,
)

OPS: dict[str, Callable] = {
    function.__name__: function
    for function in (
        boxes.bbox_overlaps,
        boxes.nms,
        boxes.nms_match,
        boxes.softnms,
        carafe.carafe_backward,
        carafe.carafe_forward,
        carafe.carafe_naive_backward,
        carafe.carafe_naive_forward,
        deform_conv.deform_conv_backward_input,
        deform_conv.deform_conv_backward_parameters,
        deform_conv.deform_conv_forward,
        deform_conv.modulated_deform_conv_backward,
        deform_conv.modulated_deform_conv_forward,
        deformable_attention.ms_deform_attn_backward,
        deformable_attention.ms_deform_attn_forward,
        focal_loss.sigmoid_focal_loss_backward,
        focal_loss.sigmoid_focal_loss_forward,
        focal_loss.softmax_focal_loss_backward,
        focal_loss.softmax_focal_loss_forward,
        masked_conv.masked_col2im_forward,
        masked_conv.masked_im2col_forward,
        psa_mask.psamask_backward,
        psa_mask.psamask_forward,
        roi_align.roi_align_backward,
        roi_align.roi_align_forward,
        roi_pool.roi_pool_backward,
        roi_pool.roi_pool_forward,
    )
}

__all__ = ['OPS']
