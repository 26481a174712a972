"""Names of checkpoints of networks that classify pixels: transformers' DPT and DINOv2's linear heads."""
from __future__ import annotations

from ..reading import State
from ..renaming import Rule, common_prefix, rename, split_prefix

_FUSION = r'neck\.fusion_stage\.layers\.(\d+)\.'
_HF_DPT: tuple[Rule, ...] = (
    (r'neck\.reassemble_stage\.readout_projects\.(\d+)\.(.+)', r'decoder.reassemble.\1.readout.\2'),
    (r'neck\.reassemble_stage\.layers\.(\d+)\.projection\.(.+)', r'decoder.reassemble.\1.project.\2'),
    (r'neck\.reassemble_stage\.layers\.(\d+)\.(resize\..+)', r'decoder.reassemble.\1.\2'),
    (r'neck\.convs\.(.+)', r'decoder.project.\1'),
    (r'neck\.fusion_stage\.layers\.0\.residual_layer1\..+', None),  # the coarsest level is fused with nothing
    (_FUSION + r'projection\.(.+)', r'decoder.fusion.\1.project.\2'),
    (_FUSION + r'residual_layer1\.convolution(\d\..+)', r'decoder.fusion.\1.skip.conv\2'),
    (_FUSION + r'residual_layer1\.batch_norm(\d\..+)', r'decoder.fusion.\1.skip.norm\2'),
    (_FUSION + r'residual_layer2\.convolution(\d\..+)', r'decoder.fusion.\1.refine.conv\2'),
    (_FUSION + r'residual_layer2\.batch_norm(\d\..+)', r'decoder.fusion.\1.refine.norm\2'),
    (r'head\.head\.(.+)', r'classify.\1'),
    (r'auxiliary_head\.head\.(.+)', r'auxiliary.\1'),
)
_LINEAR: tuple[Rule, ...] = (
    (r'decode_head\.bn\.(.+)', r'norm.\1'),
    (r'decode_head\.conv_seg\.(.+)', r'classifier.\1'),
)
HeadAndBackbone = tuple[State, State, list[str]]


def read_hf_dpt(state: State) -> HeadAndBackbone | None:
    """transformers' ``DPTForSemanticSegmentation``: head tensors under our names, the backbone's under theirs.

    The third entry holds the names not needed. None for another model.
    """
    found = _apart(state, ('neck.convs.0.weight', 'head.head.0.weight', 'dpt.embeddings.cls_token'), 'dpt.', _HF_DPT)
    if found is None:
        return None
    head, backbone, left = found
    # Behind the last level, and so of no effect on this head.
    unread = [name for name in backbone if name.startswith('layernorm.')]
    return head, {name: tensor for name, tensor in backbone.items() if name not in unread}, [*left, *unread]


def read_linear(state: State) -> HeadAndBackbone | None:
    """mmsegmentation's names of DINOv2's linear heads, published without the backbone; as :func:`read_hf_dpt`."""
    return _apart(state, ('decode_head.bn.weight', 'decode_head.conv_seg.weight'), 'backbone.', _LINEAR)


def _apart(state: State, anchors: tuple[str, ...], backbone: str, rules: tuple[Rule, ...]) -> HeadAndBackbone | None:
    prefix = common_prefix(state, anchors)
    if prefix is None:
        return None
    inside, outside = split_prefix(state, prefix)
    within, _ = split_prefix(inside, backbone)
    head, left = rename({name: tensor for name, tensor in inside.items() if not name.startswith(backbone)}, rules)
    return head, within, [*left, *outside]
