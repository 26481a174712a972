# A linear classifier of DINOv2-g's last four layers on ADE20K, 640x640.
#
# paper: DINOv2: Learning Robust Visual Features without Supervision, arXiv:2304.07193.
# published: 53.0 mIoU, the authors' model card, five scales and mirrored: test with --tta.
# hardware: for 8 GPUs with 2 images each; time and memory were not published.
# command: tools/dist_train.sh configs/linear/linear_dinov2_vitg_ade20k.py 8 --amp
# 1 GPU: python tools/train.py configs/linear/linear_dinov2_vitg_ade20k.py --amp \
#     --cfg-options train_dataloader.batch_size=16
# not trained here.
_base_ = 'linear_dinov2_vits_ade20k.py'
model = dict(backbone=dict(name='vit_giant_patch14_dinov2', frozen_stages=41))
