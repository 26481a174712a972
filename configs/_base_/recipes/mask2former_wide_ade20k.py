# Mask2Former (arXiv:2112.01527) on ADE20K with a head of 1024 channels, as ViT-Adapter and ViT-CoMer put it on BEiT-L.
_base_ = 'mask2former_ade20k.py'
model = dict(
    decode_head=dict(
        in_channels=[1024] * 4,
        feat_channels=1024,
        out_channels=1024,
        pixel_decoder=dict(
            encoder=dict(
                layer_cfg=dict(
                    self_attn_cfg=dict(embed_dims=1024, num_heads=32),
                    ffn_cfg=dict(embed_dims=1024, feedforward_channels=4096))),
            positional_encoding=dict(num_feats=512)),
        positional_encoding=dict(num_feats=512),
        transformer_decoder=dict(
            layer_cfg=dict(
                self_attn_cfg=dict(embed_dims=1024, num_heads=32),
                cross_attn_cfg=dict(embed_dims=1024, num_heads=32),
                ffn_cfg=dict(embed_dims=1024, feedforward_channels=4096)))))
optim_wrapper = dict(optimizer=dict(lr=2e-5), paramwise_cfg=dict(layer_decay=.9))
