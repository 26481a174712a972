# Mask2Former's recipe for ADE20K (arXiv:2112.01527, section 4.1), for a global batch of 16: that of
# mask2former_coco_50e.py with polynomial decay.
_base_ = 'mask2former_coco_50e.py'
train_cfg = dict(max_iters=160000)
param_scheduler = dict(_delete_=True, type='PolyLR', power=.9, eta_min=0., by_epoch=False)
