# ECO-M2F with Swin-T, COCO panoptic segmentation, 1024x1024: step A, an encoder that can be left early.
#
# paper: Efficient Transformer Encoders for Mask2Former-style models, arXiv:2404.15244.
# published: 52.1 PQ, Yao et al. 2024, repository of the authors (GYeow/ECO-M2F), beta 0.0005, 202 GFLOPs.
# hardware: 8 GPUs with 2 images each; time and memory were not published.
# command: tools/dist_train.sh configs/mask2former/eco_mask2former_swin_t_coco_panoptic.py 8 --amp
# 1 GPU: python tools/train.py configs/mask2former/eco_mask2former_swin_t_coco_panoptic.py --amp \
#     --cfg-options train_dataloader.batch_size=16
# not trained here.
#
# Evaluated at the last exit. The published number is of images that each take the exit which a gate chooses: steps B
# and C are tools/fit_exit_gate.py; then set model.head.exit=None.
_base_ = ['mask2former_swin_t_coco_panoptic.py']
model = dict(head=dict(type='densevit.ECOMask2FormerNet', exit=6))
