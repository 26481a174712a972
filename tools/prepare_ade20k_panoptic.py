"""Write ADE20K's panoptic annotations: python tools/prepare_ade20k_panoptic.py data/ade/ADEChallengeData2016"""
from _door import run

if __name__ == '__main__':
    run('prepare-ade20k-panoptic')
