"""Checkpoints of MaskFormer's authors; transformers' and mmdetection's are read in the test of the network."""
import pytest
import torch
from official import assert_close
from official_mask2former import official_maskformer
from randomised import randomise

from densevit import load_weights
from densevit.backbones import TimmPyramid
from densevit.networks.segmentation import MaskFormerNet

SWIN = dict(embed_dim=12, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2), window_size=4)


@pytest.mark.parametrize('first_names', [False, True])
@pytest.mark.parametrize('encoder_layers', [0, 2])
@torch.no_grad()
def test_the_authors_checkpoints_give_their_outputs(encoder_layers, first_names):
    swin = randomise(TimmPyramid('swin_tiny_patch4_window7_224', img_size=128, norm_out=True, **SWIN))
    ours = MaskFormerNet(swin, 4, num_queries=5, embed_dim=32, num_heads=2, encoder_layers=encoder_layers,
                         decoder_layers=3, ffn_dim=48, mask_dim=32).eval()
    encoder = dict(transformer_dropout=0., transformer_nheads=2, transformer_dim_feedforward=48,
                   transformer_enc_layers=encoder_layers, transformer_pre_norm=False)
    theirs = randomise(official_maskformer(
        swin.out_channels, 32, encoder if encoder_layers else None,
        dict(num_classes=4, hidden_dim=32, num_queries=5, nheads=2, dropout=0., dim_feedforward=48, enc_layers=0,
             dec_layers=3, pre_norm=False, deep_supervision=True, mask_dim=32, enforce_input_project=False)))
    state = {f'backbone.{name}': x for name, x in swin.state_dict().items()} | theirs.state_dict()
    if first_names:
        state = {name.replace('sem_seg_head.pixel_decoder.', 'sem_seg_head.'): x for name, x in state.items()}
    assert "the authors' MaskFormer" in str(load_weights(ours, state))
    images = torch.randn(2, 3, 96, 160)
    assert_close([part for prediction in ours(images) for part in prediction],
                 theirs([x.contiguous() for x in swin(images)]))
