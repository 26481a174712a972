"""Names of depth checkpoints, mapped to those of :class:`densevit.networks.depth.DPTDepth` and its linear sister.

Known are the authors' of DPT, also of DPT-Hybrid, and MiDaS 3.1 (github.com/isl-org), Depth Anything V1 and V2, Depth
Anything 3, the depth heads of DINOv2, and transformers' DPT, Depth Anything and CHMv2. The label of a report tells the
licence under which the weights of that origin were published, as far as names and sizes tell the origin.
"""
from __future__ import annotations

from typing import NamedTuple

from ...networks.depth import DPTDepth, LinearDepth
from ..load_report import WeightsError
from ..reading import State
from ..renaming import Rule, common_prefix, rename, split_prefix
from ..translate import HeadAndBackbone, Translated, read_around, reads
from .pixels import HF_FUSION, HF_NECK


def _numbered(theirs: str, ours: str, numbers: dict[int, int]) -> tuple[Rule, ...]:
    """Rules for parts that both number, each in its own way; ``#`` stands for the numbers."""
    return tuple((theirs.replace('#', str(number)), ours.replace('#', str(own))) for number, own in numbers.items())


_FROM_FINE = {number: number - 1 for number in range(1, 5)}  # levels, from 1
_FROM_COARSE = {number: 4 - number for number in range(1, 5)}  # fusions, whose number 4 is the coarsest
# What all code that descends from DPT's calls alike.
_SCRATCH: tuple[Rule, ...] = (
    (r'scratch\.refinenet4\.resConfUnit1\..+', None),  # the coarsest level is fused with nothing
    *_numbered(r'scratch\.layer#_rn\.(.+)', r'decoder.project.#.\1', _FROM_FINE),
    *_numbered(r'scratch\.refinenet#\.out_conv\.(.+)', r'decoder.fusion.#.project.\1', _FROM_COARSE),
    *_numbered(r'scratch\.refinenet#\.resConfUnit1\.(.+)', r'decoder.fusion.#.skip.\1', _FROM_COARSE),
    *_numbered(r'scratch\.refinenet#\.resConfUnit2\.(.+)', r'decoder.fusion.#.refine.\1', _FROM_COARSE),
)
_MIDAS: tuple[Rule, ...] = (
    *_numbered(r'pretrained\.act_postprocess#\.0\.project\.(.+)', r'decoder.reassemble.#.readout.\1', _FROM_FINE),
    *_numbered(r'pretrained\.act_postprocess#\.3\.(.+)', r'decoder.reassemble.#.project.\1', _FROM_FINE),
    *_numbered(r'pretrained\.act_postprocess#\.4\.(.+)', r'decoder.reassemble.#.resize.\1', _FROM_FINE),
    *_SCRATCH,
    (r'scratch\.output_conv\.0\.(.+)', r'reduce.\1'),
    (r'scratch\.output_conv\.2\.(.+)', r'predict.0.\1'),
    (r'scratch\.output_conv\.4\.(.+)', r'predict.2.\1'),
    (r'auxlayer\..+', None),
)
_DEPTH_ANYTHING: tuple[Rule, ...] = tuple((rf'(?:depth_)?head\.{theirs}', ours) for theirs, ours in (
    (r'projects\.(\d)\.(.+)', r'decoder.reassemble.\1.project.\2'),
    (r'resize_layers\.(\d)\.(.+)', r'decoder.reassemble.\1.resize.\2'),
    (r'readout_projects\.(\d)\.(.+)', r'decoder.reassemble.\1.readout.\2'),
    *_SCRATCH,
    (r'scratch\.output_conv1\.(.+)', r'reduce.\1'),
    (r'scratch\.output_conv2\.(.+)', r'predict.\1'),
    (r'scratch\.sky_output_conv2\.(.+)', r'sky.\1'),
))
_HF_HEAD: tuple[Rule, ...] = (
    (r'head\.projection\.(.+)', r'project.0.\1'),
    (r'head\.head\.0\.(.+)', r'reduce.\1'),
    (r'head\.head\.2\.(.+)', r'predict.0.\1'),
    (r'head\.head\.4\.(.+)', r'predict.2.\1'),
    (r'head\.conv1\.(.+)', r'reduce.\1'),
    (r'head\.conv2\.(.+)', r'predict.0.\1'),
    (r'head\.conv3\.(.+)', r'predict.2.\1'),
)
_HF_DPT: tuple[Rule, ...] = (*HF_NECK, *_HF_HEAD)
_CHMV2: tuple[Rule, ...] = (
    *((theirs.replace('neck', 'head'), ours) for theirs, ours in HF_NECK),
    *((theirs.replace(HF_FUSION, r'head\.fusion_layers\.(\d+)\.'), ours) for theirs, ours in HF_NECK
      if theirs.startswith(HF_FUSION)),
    *((theirs.replace(r'head\.head', r'head\.conv_depth\.head'), ours) for theirs, ours in _HF_HEAD),
)
_DINOV2: tuple[Rule, ...] = tuple((rf'decode_head\.{theirs}', ours) for theirs, ours in (
    (r'reassemble_blocks\.projects\.(\d)\.conv\.(.+)', r'decoder.reassemble.\1.project.\2'),
    (r'reassemble_blocks\.resize_layers\.(\d)\.(.+)', r'decoder.reassemble.\1.resize.\2'),
    (r'reassemble_blocks\.readout_projects\.(\d)\.(.+)', r'decoder.reassemble.\1.readout.\2'),
    (r'convs\.(\d)\.conv\.(.+)', r'decoder.project.\1.\2'),
    (r'fusion_blocks\.(\d)\.project\.conv\.(.+)', r'decoder.fusion.\1.project.\2'),
    (r'fusion_blocks\.(\d)\.res_conv_unit1\.(conv\d)\.conv\.(.+)', r'decoder.fusion.\1.skip.\2.\3'),
    (r'fusion_blocks\.(\d)\.res_conv_unit2\.(conv\d)\.conv\.(.+)', r'decoder.fusion.\1.refine.\2.\3'),
    (r'project\.conv\.(.+)', r'project.0.\1'),
    (r'conv_depth\.head\.0\.(.+)', r'reduce.\1'),
    (r'conv_depth\.head\.2\.(.+)', r'predict.0.\1'),
    (r'conv_depth\.head\.4\.(.+)', r'predict.2.\1'),
))
_LINEAR: tuple[Rule, ...] = (
    (r'decode_head\.conv_depth\.(.+)', r'predict.\1'),
    (r'decode_head\.bn\.(.+)', r'norm.\1'),
)


class Naming(NamedTuple):
    """A code base's names.

    Attributes:
        label: What reports call it.
        terms: The licence under which its weights are published; None where it depends on which these are.
        anchors: Names that only this naming has together; a common prefix may stand before them.
        trunk: What stands before the names of the ViT.
        rules: Names of everything else to ours.
        is_normed: Whether the levels are normed; otherwise the ViT's last norm is of no effect.
    """
    label: str
    terms: str | None
    anchors: tuple[str, ...]
    trunk: str
    rules: tuple[Rule, ...]
    is_normed: bool


@reads(DPTDepth)
def read_dpt_depth(state: State, module: DPTDepth) -> Translated | None:
    """Recognise a depth checkpoint of any of the code bases named above.

    Raises:
        WeightsError: It is a Depth Anything 3 that reads several views.
    """
    for naming in _NAMINGS:
        prefix = common_prefix(state, naming.anchors)
        if prefix is None:
            continue
        inside, outside = split_prefix(state, prefix)
        if any(name.startswith(('cam_dec.', 'cam_enc.')) for name in inside):
            raise WeightsError('it is a Depth Anything 3 that reads several views and cameras; take DA3MONO-LARGE or '
                               'DA3METRIC-LARGE, which read one')
        trunk, _ = split_prefix(inside, naming.trunk)
        head, left = rename({name: tensor for name, tensor in inside.items() if not name.startswith(naming.trunk)},
                            naming.rules)
        label = f'{naming.label} ({naming.terms or _terms_of_depth_anything(module)})'
        return _around(label, head, trunk, [*left, *outside], module, naming.is_normed)
    return None


@reads(LinearDepth)
def read_linear_depth(state: State, module: LinearDepth) -> Translated | None:
    """Recognise DINOv2's linear depth heads, which are published without the backbone."""
    prefix = common_prefix(state, ('decode_head.conv_depth.weight', ))
    if prefix is None:
        return None
    inside, outside = split_prefix(state, prefix)
    trunk, others = split_prefix(inside, 'backbone.')
    head, left = rename({name: inside[name] for name in others}, _LINEAR)
    return _around("DINOv2's linear depth head (Apache-2.0)", head, trunk, [*left, *outside], module, False)


def _around(
    label: str,
    head: State,
    trunk: State,
    left: list[str],
    module: DPTDepth | LinearDepth,
    is_normed: bool,
) -> Translated:
    if not trunk:
        return Translated(label, head, left, unfilled=('backbone.', ))
    unread = [] if is_normed else [name for name in trunk if name.startswith(('norm.', 'layernorm.', 'fc_norm.'))]
    trunk = {name: tensor for name, tensor in trunk.items() if name not in unread}
    return read_around(HeadAndBackbone(label, head, trunk, [*left, *unread]), module)


def _terms_of_depth_anything(module: DPTDepth) -> str:
    """Of V1 and V2, whose names and sizes are the same."""
    if module.kind == 'metric':
        return 'V2 metric: published without terms of its own'
    return 'Apache-2.0' if module.backbone.out_channels[0] <= 384 else 'V1: Apache-2.0; V2: CC-BY-NC-4.0'


_HF_DPT_TERMS = 'around a ViT or BEiT: MIT; around DINOv2: Apache-2.0'
_NAMINGS = (
    Naming("the authors' DPT or MiDaS", 'MIT', ('pretrained.model.cls_token', 'scratch.output_conv.0.weight'),
           'pretrained.model.', _MIDAS, False),
    Naming("the authors' Depth Anything", None, ('pretrained.cls_token', 'depth_head.scratch.output_conv1.weight'),
           'pretrained.', _DEPTH_ANYTHING, True),
    Naming("the authors' Depth Anything 3", 'Apache-2.0',
           ('backbone.pretrained.cls_token', 'head.scratch.output_conv1.weight'), 'backbone.pretrained.',
           _DEPTH_ANYTHING, True),
    Naming("DINOv2's DPT", 'Apache-2.0', ('decode_head.reassemble_blocks.projects.0.conv.weight', ), 'backbone.',
           _DINOV2, False),
    Naming("transformers' DPT", _HF_DPT_TERMS,
           ('dpt.embeddings.cls_token', 'neck.convs.0.weight', 'head.head.0.weight'), 'dpt.', _HF_DPT, False),
    Naming("transformers' DPT", _HF_DPT_TERMS, ('neck.convs.0.weight', 'head.head.0.weight'), 'backbone.', _HF_DPT,
           False),
    Naming("transformers' Depth Anything", None, ('neck.convs.0.weight', 'head.conv1.weight'), 'backbone.', _HF_DPT,
           True),
    Naming("transformers' CHMv2", 'DINOv3 License', ('head.convs.0.weight', 'head.conv_depth.head.0.weight'),
           'backbone.', _CHMV2, True),
)
