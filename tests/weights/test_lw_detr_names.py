"""Checkpoints of LW-DETR and RF-DETR under their authors' names: the same outputs."""
import re

import pytest
import torch

transformers = pytest.importorskip('transformers', reason='needs transformers')
if not hasattr(transformers, 'LwDetrConfig'):
    pytest.skip('needs transformers 5.23', allow_module_level=True)

from networks.detection.test_lw_detr import (  # noqa: E402
    assert_same_predictions,
    our_lw_detr,
    our_rf_detr,
    our_rf_detr_seg,
    their_lw_detr,
    their_rf_detr,
    their_rf_detr_seg,
)

from densevit import load_weights  # noqa: E402
from densevit.weights import WeightsError  # noqa: E402

# From transformers' names to those of github.com/Atten4Vis/LW-DETR (models/lwdetr.py, transformer.py, backbone/).
AUTHORS = (
    (r'model\.backbone\.backbone\.embeddings\.position_embeddings', 'backbone.0.encoder.pos_embed'),
    (r'model\.backbone\.backbone\.embeddings\.projection', 'backbone.0.encoder.patch_embed.proj'),
    (r'model\.backbone\.backbone\.encoder\.layer\.(\d+)', r'backbone.0.encoder.blocks.\1'),
    (r'attention\.([qkv])_proj\.weight', r'attn.\1.weight'), (r'attention\.([qv])_proj\.bias', r'attn.\1_bias'),
    (r'attention\.o_proj', 'attn.proj'), (r'layernorm_before', 'norm1'), (r'layernorm_after', 'norm2'),
    (r'intermediate', 'mlp'),
    (r'model\.backbone\.projector\.scale_layers\.(\d)\.sampling_layers\.(\d)\.layers\.(\d)',
     r'backbone.0.projector.stages_sampling.\1.\2.\3'),
    (r'model\.backbone\.projector\.scale_layers\.(\d)\.projector_layer', r'backbone.0.projector.stages.\1.0'),
    (r'model\.backbone\.projector\.scale_layers\.(\d)\.layer_norm', r'backbone.0.projector.stages.\1.1'),
    (r'bottlenecks\.(\d)', r'm.\1'), (r'\.conv([12])\.(conv|norm)', r'.cv\1.\2'),
    (r'(projector\..*)\.norm\.(weight|bias|running_mean|running_var|num_batches_tracked)', r'\1.bn.\2'),
    (r'model\.decoder\.layers\.(\d)', r'transformer.decoder.layers.\1'),
    (r'self_attn\.o_proj', 'self_attn.out_proj'), (r'self_attn_layer_norm', 'norm1'),
    (r'cross_attn_layer_norm', 'norm2'), (r'(decoder\.layers\.\d)\.layer_norm', r'\1.norm3'),
    (r'(decoder\.layers\.\d)\.mlp\.fc', r'\1.linear'), (r'model\.decoder\.layernorm', 'transformer.decoder.norm'),
    (r'model\.decoder\.ref_point_head', 'transformer.decoder.ref_point_head'),
    (r'model\.enc_out', 'transformer.enc_out'), (r'model\.reference_point_embed', 'refpoint_embed'),
    (r'model\.query_feat', 'query_feat'),
)


def as_authors(state):
    """Projections of one input are one matrix, of PyTorch's attention in the decoder and of CAE's in the ViT."""
    renamed = {}
    for name, tensor in state.items():
        for pattern, new in AUTHORS:
            name = re.sub(pattern, new, name)
        renamed[name] = tensor
    for name in [name for name in renamed if '.q.weight' in name or 'self_attn.q_proj' in name]:
        parts = [renamed.pop(name.replace('.q', f'.{part}')) for part in 'qkv']
        renamed[name.replace('.q.', '.qkv.').replace('q_proj.', 'in_proj_')] = torch.cat(parts)
    return renamed


@pytest.mark.parametrize('scales', [(1., ), (2., .5)])
def test_authors_lw_detr(scales, tmp_path):
    theirs, ours = their_lw_detr(scales), our_lw_detr(scales)
    torch.save(dict(model=as_authors(theirs.state_dict())), tmp_path / 'theirs.pth')
    report = load_weights(ours, tmp_path / 'theirs.pth')
    assert not report.missing and not report.left
    assert_same_predictions(ours, theirs, (128, 192))


@pytest.mark.parametrize('theirs, ours', [(their_rf_detr, our_rf_detr), (their_rf_detr_seg, our_rf_detr_seg)])
def test_roboflow_rf_detr(theirs, ours, tmp_path):
    """transformers writes the names that it has read."""
    theirs, ours = theirs(), ours()
    theirs.save_pretrained(tmp_path)
    report = load_weights(ours, tmp_path / 'model.safetensors')
    assert 'backbone.0.encoder' not in str(report) and not report.missing
    assert_same_predictions(ours, theirs, (96, 96))


def test_weights_without_an_open_licence_are_refused(tmp_path):
    state = their_rf_detr().state_dict()
    state['model.backbone.backbone.embeddings.patch_embeddings.projection.weight'] = torch.zeros(48, 3, 20, 20)
    torch.save(state, tmp_path / 'rf-detr-xlarge.pth')
    with pytest.raises(WeightsError, match=r'PML-1\.0.*take N'):
        load_weights(our_rf_detr(), tmp_path / 'rf-detr-xlarge.pth')


def test_coco_of_91_ids_is_read_as_its_80_classes(tmp_path):
    ours = our_rf_detr(num_classes=80)
    state = {name: tensor for name, tensor in their_rf_detr().state_dict().items()}
    for name in [name for name in state if 'class_embed' in name]:
        state[name] = torch.arange(91.).view(-1, *[1] * (state[name].dim() - 1)).expand(91, *state[name].shape[1:])
    torch.save({name: tensor.contiguous() for name, tensor in state.items()}, tmp_path / 'theirs.pth')
    assert not load_weights(ours, tmp_path / 'theirs.pth').missing
    ids = ours.class_head.bias.tolist()
    assert ids[:12] == [*range(1, 12), 13] and ids[-1] == 90 and len(ids) == 80
    assert ours.proposals[2].class_head.bias.tolist() == ids
