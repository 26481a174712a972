# EoMT with DINOv2-L on ADE20K: eomt/eomt_vitl_ade20k.py, under the name by which the paper's recipe is looked for first.
_base_ = 'eomt/eomt_vitl_ade20k.py'
