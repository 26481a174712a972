"""Names of checkpoints of networks that classify pixels: transformers' DPT and DINOv2's linear heads."""
from __future__ import annotations

from ...networks.segmentation import DPTNet, LinearNet
from ..reading import State
from ..renaming import Rule, common_prefix, rename, split_prefix
from ..translate import HeadAndBackbone, Translated, read_around, reads, reads_head

HF_FUSION = r'neck\.fusion_stage\.layers\.(\d+)\.'
# The decoder of transformers' DPT, whatever the task.
HF_NECK: tuple[Rule, ...] = (
    (r'neck\.reassemble_stage\.readout_projects\.(\d+)\.(.+)', r'decoder.reassemble.\1.readout.\2'),
    (r'neck\.reassemble_stage\.layers\.(\d+)\.projection\.(.+)', r'decoder.reassemble.\1.project.\2'),
    (r'neck\.reassemble_stage\.layers\.(\d+)\.(resize\..+)', r'decoder.reassemble.\1.\2'),
    (r'neck\.convs\.(.+)', r'decoder.project.\1'),
    (r'neck\.fusion_stage\.layers\.0\.residual_layer1\..+', None),  # the coarsest level is fused with nothing
    (HF_FUSION + r'projection\.(.+)', r'decoder.fusion.\1.project.\2'),
    (HF_FUSION + r'residual_layer1\.convolution(\d\..+)', r'decoder.fusion.\1.skip.conv\2'),
    (HF_FUSION + r'residual_layer1\.batch_norm(\d\..+)', r'decoder.fusion.\1.skip.norm\2'),
    (HF_FUSION + r'residual_layer2\.convolution(\d\..+)', r'decoder.fusion.\1.refine.conv\2'),
    (HF_FUSION + r'residual_layer2\.batch_norm(\d\..+)', r'decoder.fusion.\1.refine.norm\2'),
)
_HF_DPT: tuple[Rule, ...] = (
    *HF_NECK,
    (r'head\.head\.(.+)', r'classify.\1'),
    (r'auxiliary_head\.head\.(.+)', r'auxiliary.\1'),
)
_LINEAR: tuple[Rule, ...] = (
    (r'decode_head\.bn\.(.+)', r'norm.\1'),
    (r'decode_head\.conv_seg\.(.+)', r'classifier.\1'),
)


@reads_head(DPTNet)
def read_hf_dpt(state: State) -> HeadAndBackbone | None:
    """Recognise a checkpoint of transformers' ``DPTForSemanticSegmentation``."""
    anchors = ('neck.convs.0.weight', 'head.head.0.weight', 'dpt.embeddings.cls_token')
    found = _apart('transformers DPT', state, anchors, 'dpt.', _HF_DPT)
    if found is None:
        return None
    # Behind the last level, and so of no effect on this head.
    unread = [name for name in found.backbone if name.startswith('layernorm.')]
    backbone = {name: tensor for name, tensor in found.backbone.items() if name not in unread}
    return found._replace(backbone=backbone, left=[*found.left, *unread])


@reads(LinearNet)
def read_linear(state: State, module: LinearNet) -> Translated | None:
    """Recognise DINOv2's linear heads under mmsegmentation's names; they are published without the backbone."""
    anchors = ('decode_head.bn.weight', 'decode_head.conv_seg.weight')
    found = _apart('OpenMMLab linear head', state, anchors, 'backbone.', _LINEAR)
    if found is None or found.backbone:
        return found and read_around(found, module)
    return Translated(found.naming, found.head, found.left, unfilled=('backbone.', ))


def _apart(
    naming: str,
    state: State,
    anchors: tuple[str, ...],
    backbone: str,
    rules: tuple[Rule, ...],
) -> HeadAndBackbone | None:
    prefix = common_prefix(state, anchors)
    if prefix is None:
        return None
    inside, outside = split_prefix(state, prefix)
    within, _ = split_prefix(inside, backbone)
    head, left = rename({name: tensor for name, tensor in inside.items() if not name.startswith(backbone)}, rules)
    return HeadAndBackbone(naming, head, within, [*left, *outside])
