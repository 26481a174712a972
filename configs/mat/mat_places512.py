# MAT for holes in photographs, first stage: L1.
#
# paper: MAT: Mask-Aware Transformer for Large Hole Image Inpainting, arXiv:2203.15270.
# published: no published number. The authors train with a discriminator from the beginning; see mat_gan_places512.py.
# hardware: for 8 GPUs with 4 crops each.
# command: tools/dist_train.sh configs/mat/mat_places512.py 8
# 1 GPU: python tools/train.py configs/mat/mat_places512.py \
#     --cfg-options train_dataloader.batch_size=32
# not trained here.
_base_ = '../_base_/recipes/places512.py'
