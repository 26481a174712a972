"""What a run is stopped for before it begins."""
from types import SimpleNamespace

import pytest
from mmengine.config import Config
from mmseg.models.decode_heads import FCNHead
from torch import nn

from densevit.datasets.common.checks import ClassesError, check_classes, classes_of
from densevit.datasets.segmentation.checks import ignore_index_of
from densevit.engine import run_config

LEAVES = SimpleNamespace(metainfo=dict(classes=('ground', 'leaf')))


def model(**children):
    made = nn.Module()
    for name, child in children.items():
        setattr(made, name, child)
    return made


def head(num_classes):
    made = nn.Module()
    made.num_classes = num_classes
    return made


def test_other_number_of_classes__is_told_with_the_key_to_set():
    for built, option in (
        (head(80), 'model.num_classes'),
        (model(decode_head=FCNHead(in_channels=8, channels=8, num_classes=80)), 'model.decode_head.num_classes'),
        (model(bbox_head=head(80)), 'model.bbox_head.num_classes'),
        (model(roi_head=model(bbox_head=head(80))), 'model.roi_head.bbox_head.num_classes'),
        (model(roi_head=model(bbox_head=nn.ModuleList([head(80), head(80)]))), 'model.roi_head.bbox_head.num_classes'),
    ):
        with pytest.raises(ClassesError, match=f'the train data has 2 classes .* num_classes=80: set {option}=2'):
            check_classes(LEAVES, *classes_of(built), 'train')


class RPNHead(nn.Module):
    num_classes = 1


def test_same_number_or_none__is_right():
    for built in (head(2), model(bbox_head=head(2)), model(bbox_head=RPNHead()), nn.Module()):
        check_classes(LEAVES, *classes_of(built), 'train')


def test_the_ignored_label_of_a_stock_head_is_no_wrong_label():
    of_eleven = FCNHead(in_channels=8, channels=8, num_classes=11, ignore_index=11)
    for built, ignored in ((model(), 255), (model(decode_head=of_eleven), 11),
                           (model(decode_head=nn.ModuleList([head(11), of_eleven])), 11)):
        assert ignore_index_of(built) == ignored


def test_a_runner_checks_the_model_that_it_builds(tmp_path, quick_runs):
    backbone = dict(type='densevit.PlainViT', embed_dim=16, depth=1, num_heads=2, patch_size=16, img_size=32)
    cfg = Config(dict(default_scope='mmseg', work_dir=str(tmp_path), model=dict(
        type='EncoderDecoder', backbone=backbone,
        decode_head=dict(type='FCNHead', in_channels=24, channels=8, num_classes=2))))
    with pytest.raises(ValueError, match='FCNHead expects .*set model.decode_head.in_channels=16'):
        run_config.build_runner(cfg)
