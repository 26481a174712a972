# SwinIR for super-resolution x4 of pictures from the world, second stage: L1, features of a VGG-19 and a discriminator.
#
# paper: SwinIR: Image Restoration Using Swin Transformer, arXiv:2108.10257.
# published: no published number. Losses, their weights and rates are those of Real-ESRGAN (arXiv:2107.10833), which also
# sharpens the true images of L1 and of the VGG; that is not done here.
# hardware: for 8 GPUs with 4 patches each.
# command: tools/dist_train.sh configs/swinir/swinir_m_real_gan_x4_df2k.py 8 --load-from FIRST_STAGE.pth
# 1 GPU: python tools/train.py configs/swinir/swinir_m_real_gan_x4_df2k.py --load-from FIRST_STAGE.pth \
#     --cfg-options train_dataloader.batch_size=32
# not trained here.
#
# torchvision downloads the weights of VGG-19; model.perceptual=None trains without them.
_base_ = './swinir_m_real_x4_df2k.py'
model = dict(type='densevit.AdversarialRestorer', perceptual=dict())
optim_wrapper = dict(optimizer=dict(lr=1e-4))
param_scheduler = [dict(type='MultiStepLR', milestones=[400000], gamma=.5, by_epoch=False, begin=0, end=400000)]
train_cfg = dict(max_iters=400000)
