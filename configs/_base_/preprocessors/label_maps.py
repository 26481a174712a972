# Images in RGB, normalised with ImageNet's mean and deviation, and their label maps (mmsegmentation's). Pads come after
# the normalisation. A config adds the size of crops, to which smaller ones are padded.
model = dict(
    data_preprocessor=dict(
        type='mmseg.SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255))
