from __future__ import annotations

import numpy as np
from mmengine.registry import init_default_scope

from densevit.datasets import CamVidDataset

PIPELINE = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')]


def dataset(root, split='train', **kwargs):
    init_default_scope('mmseg')
    return CamVidDataset(
        data_root=str(root), ann_file=f'{split}.txt',
        data_prefix=dict(img_path=split, seg_map_path=f'{split}annot'), pipeline=PIPELINE, **kwargs)


def labels_of(sample):
    return set(sample['data_samples'].gt_sem_seg.data.unique().tolist())


def test_void_is_ignored(camvid_like):
    data = dataset(camvid_like)
    assert len(data) == 6
    labels = set().union(*(labels_of(data[index]) for index in range(6)))
    assert 255 in labels and 11 not in labels and labels <= {0, 3, 5, 8, 255}


def test_chosen_classes_are_numbered_anew(camvid_like):
    data = dataset(camvid_like, metainfo=dict(classes=('road', 'sky')))
    labels = set().union(*(labels_of(data[index]) for index in range(6)))
    assert labels == {0, 1, 255}


def test_real_data(shared_data):
    sizes = {split: len(dataset(shared_data / 'camvid', split)) for split in ('train', 'val', 'test')}
    assert sizes == dict(train=367, val=101, test=233)
    sample = dataset(shared_data / 'camvid', 'val')[0]
    assert sample['inputs'].shape == (3, 360, 480)
    assert labels_of(sample) <= {*range(11), 255}
    assert np.isin(0, list(labels_of(sample)))  # the first picture has some sky
