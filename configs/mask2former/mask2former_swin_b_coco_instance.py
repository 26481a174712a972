# Mask2Former with Swin-B (IN-21k), COCO instance segmentation, 1024x1024.
#
# paper: Masked-attention Mask Transformer for Universal Image Segmentation, arXiv:2112.01527.
# published: 48.1 mask AP, Cheng et al. 2022, model zoo of their code.
# hardware: 8x V100 with 2 images each; time and memory were not published.
# command: tools/dist_train.sh configs/mask2former/mask2former_swin_b_coco_instance.py 8 --amp
# 1 GPU: python tools/train.py configs/mask2former/mask2former_swin_b_coco_instance.py --amp \
#     --cfg-options train_dataloader.batch_size=16
# not trained here.
_base_ = ['mask2former_swin_t_coco_instance.py']
model = dict(backbone=dict(name='swin_base_patch4_window12_384.ms_in22k'))
