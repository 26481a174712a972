"""What a run is stopped for before it begins."""
from types import SimpleNamespace

import pytest
from mmseg.models.decode_heads import FCNHead
from torch import nn

from densevit.datasets.common.checks import ClassesError, check_classes, classes_of
from densevit.datasets.segmentation.checks import ignore_index_of

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


@pytest.mark.parametrize(('built', 'option'), [
    (head(80), 'model.num_classes'),
    (model(decode_head=FCNHead(in_channels=8, channels=8, num_classes=80)), 'model.decode_head.num_classes'),
    (model(bbox_head=head(80)), 'model.bbox_head.num_classes'),
    (model(roi_head=model(bbox_head=head(80))), 'model.roi_head.bbox_head.num_classes'),
    (model(roi_head=model(bbox_head=nn.ModuleList([head(80), head(80)]))), 'model.roi_head.bbox_head.num_classes'),
])
def test_other_number_of_classes__is_told_with_the_key_to_set(built, option):
    with pytest.raises(ClassesError, match=f'the train data has 2 classes .* num_classes=80: set {option}=2'):
        check_classes(LEAVES, *classes_of(built), 'train')


class RPNHead(nn.Module):
    num_classes = 1


@pytest.mark.parametrize('built', [head(2), model(bbox_head=head(2)), model(bbox_head=RPNHead()), nn.Module()])
def test_same_number_or_none__is_right(built):
    check_classes(LEAVES, *classes_of(built), 'train')


@pytest.mark.parametrize(('built', 'ignored'), [
    (model(), 255),
    (model(decode_head=FCNHead(in_channels=8, channels=8, num_classes=11, ignore_index=11)), 11),
    (model(decode_head=nn.ModuleList([head(11), FCNHead(in_channels=8, channels=8, num_classes=11, ignore_index=11)])),
     11),
])
def test_the_ignored_label_of_a_stock_head_is_no_wrong_label(built, ignored):
    assert ignore_index_of(built) == ignored
