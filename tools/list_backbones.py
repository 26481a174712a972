"""Run a backbone of every family that timm has: python tools/list_backbones.py --families Swin ConvNeXt"""
from _door import run

if __name__ == '__main__':
    run('backbones')
