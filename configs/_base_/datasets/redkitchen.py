# 70 and 24 frames of RedKitchen of Microsoft's 7-Scenes (Shotton et al., CVPR 2013): one room, 640x480, depth registered
# to colour, millimetres in PNG of 16 bits. See data/README.md.
_base_ = 'nyu_depth.py'
data_root = 'data/redkitchen_rgbd'
camera = (525., 525., 319.5, 239.5)  # fx, fy, cx, cy in pixels of the colour camera
dataset = dict(data_root=data_root, data_prefix=dict(img_path='rgb', depth_map_path='depth_reg'), camera=camera)
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)
