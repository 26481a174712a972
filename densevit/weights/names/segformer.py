"""Names of SegFormer's checkpoints: its authors' (github.com/NVlabs/SegFormer), transformers' and mmsegmentation's.

Heads are mapped to :class:`densevit.networks.segmentation.SegFormerNet`, encoders (MiT) to PVT v2 of timm, whose
authors' names MiT's authors have too.
"""
from __future__ import annotations

import torch

from ...networks.segmentation import SegFormerNet
from ..load_report import WeightsError
from ..reading import State
from ..renaming import Rule, fuse, rename
from ..translate import Translated, read_around, reads
from .queries import QueryNaming, read_queries, split_attention

_AUTHORS: tuple[Rule, ...] = (
    *((rf'linear_c{level + 1}\.proj\.(.+)', rf'project.{level}.\1') for level in range(4)),
    (r'linear_fuse\.conv\.(.+)', r'fuse.\1'),
    (r'linear_fuse\.bn\.(.+)', r'norm.\1'),
    (r'linear_pred\.(.+)', r'classifier.\1'),
    (r'conv_seg\..+', None),  # of every head of mmsegmentation; this one does not use it
)
_HF: tuple[Rule, ...] = (
    (r'linear_(?:c|projections)\.(\d)\.proj\.(.+)', r'project.\1.\2'),  # transformers 4 and 5
    (r'linear_fuse\.(.+)', r'fuse.\1'),
    (r'batch_norm\.(.+)', r'norm.\1'),
    (r'classifier\.(.+)', r'classifier.\1'),
)
_MM: tuple[Rule, ...] = (
    (r'convs\.(\d)\.conv\.(.+)', r'project.\1.\2'),
    (r'convs\.(\d)\.bn\.(.+)', r'map_norms.\1.\2'),
    (r'fusion_conv\.conv\.(.+)', r'fuse.\1'),
    (r'fusion_conv\.bn\.(.+)', r'norm.\1'),
    (r'conv_seg\.(.+)', r'classifier.\1'),
)
_OPENMMLAB = 'mmsegmentation SegFormer'
_NAMINGS = (
    QueryNaming("the authors' SegFormer", ('decode_head.linear_c1.proj.weight', 'decode_head.linear_pred.weight'),
                'backbone.', 'decode_head.', _AUTHORS),
    *(QueryNaming('transformers SegFormer', (f'decode_head.{maps}.0.proj.weight', 'decode_head.batch_norm.weight'),
                  'segformer.', 'decode_head.', _HF) for maps in ('linear_c', 'linear_projections')),
    QueryNaming(_OPENMMLAB, ('decode_head.convs.0.conv.weight', 'decode_head.fusion_conv.conv.weight'),
                'backbone.', 'decode_head.', _MM),
)

# Of MiT: transformers 4 to 5, and what both have in common to timm's.
_HF_4: tuple[Rule, ...] = (
    (r'encoder\.patch_embeddings\.(\d)\.(.+)', r'stages.\1.patch_embeddings.\2'),
    (r'encoder\.block\.(\d)\.(\d+)\.(.+)', r'stages.\1.blocks.\2.\3'),
    (r'encoder\.layer_norm\.(\d)\.(.+)', r'stages.\1.layer_norm.\2'),
)
_HF_BLOCK, _BLOCK = r'stages\.(\d)\.blocks\.(\d+)\.', r'stages.\1.blocks.\2.'
_HF_MIT: tuple[Rule, ...] = (
    (r'stages\.0\.patch_embeddings\.proj\.(.+)', r'patch_embed.proj.\1'),
    (r'stages\.0\.patch_embeddings\.layer_norm\.(.+)', r'patch_embed.norm.\1'),
    (r'stages\.(\d)\.patch_embeddings\.proj\.(.+)', r'stages.\1.downsample.proj.\2'),
    (r'stages\.(\d)\.patch_embeddings\.layer_norm\.(.+)', r'stages.\1.downsample.norm.\2'),
    (r'stages\.(\d)\.layer_norm\.(.+)', r'stages.\1.norm.\2'),
    (_HF_BLOCK + r'(?:layernorm_before|layer_norm_1)\.(.+)', _BLOCK + r'norm1.\3'),
    (_HF_BLOCK + r'(?:layernorm_after|layer_norm_2)\.(.+)', _BLOCK + r'norm2.\3'),
    (_HF_BLOCK + r'attention\.(?:q_proj|self\.query)\.(.+)', _BLOCK + r'attn.q.\3'),
    (_HF_BLOCK + r'attention\.(?:k_proj|self\.key)\.(.+)', _BLOCK + r'attn.k.\3'),
    (_HF_BLOCK + r'attention\.(?:v_proj|self\.value)\.(.+)', _BLOCK + r'attn.v.\3'),
    (_HF_BLOCK + r'attention\.(?:o_proj|output\.dense)\.(.+)', _BLOCK + r'attn.proj.\3'),
    (_HF_BLOCK + r'attention\.(?:sequence_reduction\.sequence_reduction|self\.sr)\.(.+)', _BLOCK + r'attn.sr.\3'),
    (_HF_BLOCK + r'attention\.(?:sequence_reduction|self)\.layer_norm\.(.+)', _BLOCK + r'attn.norm.\3'),
    (_HF_BLOCK + r'mlp\.(?:fc|dense)([12])\.(.+)', _BLOCK + r'mlp.fc\3.\4'),
    (_HF_BLOCK + r'mlp\.dwconv\.dwconv\.(.+)', _BLOCK + r'mlp.dwconv.\3'),
)
_MM_BLOCK = r'layers\.(\d)\.1\.(\d+)\.'
_MM_MIT: tuple[Rule, ...] = (
    (r'layers\.0\.0\.projection\.(.+)', r'patch_embed.proj.\1'),
    (r'layers\.0\.0\.norm\.(.+)', r'patch_embed.norm.\1'),
    (r'layers\.(\d)\.0\.projection\.(.+)', r'stages.\1.downsample.proj.\2'),
    (r'layers\.(\d)\.0\.norm\.(.+)', r'stages.\1.downsample.norm.\2'),
    (r'layers\.(\d)\.2\.(.+)', r'stages.\1.norm.\2'),
    (_MM_BLOCK + r'attn\.attn\.out_proj\.(.+)', _BLOCK + r'attn.proj.\3'),
    (_MM_BLOCK + r'attn\.attn\.(.+)', _BLOCK + r'attn.\3'),
    (_MM_BLOCK + r'ffn\.layers\.0\.(.+)', _BLOCK + r'mlp.fc1.\3'),
    (_MM_BLOCK + r'ffn\.layers\.1\.(.+)', _BLOCK + r'mlp.dwconv.\3'),
    (_MM_BLOCK + r'ffn\.layers\.4\.(.+)', _BLOCK + r'mlp.fc2.\3'),
    (_MM_BLOCK + r'(.+)', _BLOCK + r'\3'),
)


@reads(SegFormerNet)
def read_segformer(state: State, module: SegFormerNet) -> Translated | None:
    """Recognise a checkpoint of SegFormer.

    Raises:
        WeightsError: One of its head and the module's has norms of the projected maps.
    """
    found = read_queries(state, _NAMINGS)
    if found is None:
        return None
    if ('map_norms.0.weight' in found.head) != bool(module.map_norms):
        raise WeightsError(f'its head {"has no" if module.map_norms else "has"} norms of the projected maps: build the '
                           f'model with norm_maps={not module.map_norms} (model.head.norm_maps)')
    head = {name: tensor[..., None, None] if name.startswith('project.') and tensor.ndim == 2 else tensor
            for name, tensor in found.head.items()}
    if found.naming == _OPENMMLAB:  # which joins the finest map first
        weight = head['fuse.weight']
        head['fuse.weight'] = torch.cat(weight.chunk(weight.shape[1] // weight.shape[0], 1)[::-1], 1)
    return read_around(found._replace(head=head), module)


def from_hf_mit(state: State) -> State:
    """Timm's names for the MiT of transformers."""
    return fuse(rename(rename(state, _HF_4)[0], _HF_MIT)[0], ('k', 'v'), 'kv')


def from_openmmlab_mit(state: State) -> State:
    """Timm's names for the MiT of mmsegmentation, whose MLPs are 1x1 convolutions."""
    result = {}
    for name, tensor in split_attention(rename(state, _MM_MIT)[0]).items():
        layer, _, kind = name.rpartition('.')
        is_linear = kind == 'weight' and layer.endswith(('.mlp.fc1', '.mlp.fc2'))
        result[name.replace('_proj.', '.')] = tensor.flatten(1) if is_linear else tensor
    return fuse(result, ('k', 'v'), 'kv')
