# MAT for holes in photographs, second stage: L1, features of a VGG-19 and a discriminator that see the filled pictures.
#
# paper: MAT: Mask-Aware Transformer for Large Hole Image Inpainting, arXiv:2203.15270.
# published: no published number of this network, which has neither the manipulation of style nor the second U-net.
# hardware: for 8 GPUs with 4 crops each.
# command: tools/dist_train.sh configs/mat/mat_gan_places512.py 8 --load-from FIRST_STAGE.pth
# 1 GPU: python tools/train.py configs/mat/mat_gan_places512.py --load-from FIRST_STAGE.pth \
#     --cfg-options train_dataloader.batch_size=32
# not trained here.
#
# Of the losses, a tenth of the weight of features of conv4_4 and conv5_4 is the authors'; the discriminator is
# Real-ESRGAN's, in place of one of StyleGAN's kind with a penalty on its gradient. torchvision downloads the weights of
# VGG-19; model.perceptual=None trains without them.
_base_ = './mat_places512.py'
model = dict(
    type='densevit.AdversarialRestorer',
    perceptual=dict(layers=dict(conv4_4=1., conv5_4=1.)),
    perceptual_weight=.1)
optim_wrapper = dict(optimizer=dict(lr=1e-4), clip_grad=None)
