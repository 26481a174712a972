"""The detector as an mmengine model: targets, boxes at the original size, options, images without objects."""
import copy
import json
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from coco_like import write_coco_like
from interpreters import SERVER
from mmengine.config import Config
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement, InstanceData
from models.base import (
    ODD,
    VIT,
    Row,
    check_frozen,
    check_learns,
    check_options,
    check_saved_and_copied,
    same,
)
from torch.nn.parallel import DistributedDataParallel

import densevit
from densevit.models.detection.detector import best_objects
from densevit.networks.detection import BoxPrediction, MaskFactors

HEAD = dict(type='densevit.LWDETR', embed_dim=32, num_queries=8, num_groups=3, num_layers=2, num_heads=2,
            num_cross_heads=4, ffn_dim=32, projector_norm='layer', projector_blocks=1)


def instances(sample, size):
    height, width = size
    sample.gt_instances = InstanceData(
        labels=torch.tensor([2, 0]), bboxes=torch.tensor([[1., 2., width / 2, height - 3.], [9., 9., 20., 25.]]))


ROW = Row(
    dict(type='densevit.Detector', head=HEAD, num_classes=5), instances,
    lambda found: [found.pred_instances[name] for name in ('bboxes', 'labels', 'scores')], dict(top_k=3))


def instances_with_masks(sample, size):
    from mmdet.structures.mask import BitmapMasks  # after densevit, which gives mmcv its operators
    instances(sample, size)
    sample.gt_instances.masks = BitmapMasks(np.stack([np.arange(size[1]) < size[1] // 2] * 2)[:, None].repeat(
        size[0], 1).astype(np.uint8), *size)


MASKS = Row(
    dict(type='densevit.Detector', head=dict(HEAD, type='densevit.RFDETRSeg'), num_classes=5), instances_with_masks,
    lambda found: [found.pred_instances[name] for name in ('bboxes', 'labels', 'scores', 'masks')], dict(top_k=3))


DENOISING = Row(
    dict(type='densevit.Detector', num_classes=5, head=dict(
        type='densevit.DEIM', embed_dim=32, num_queries=8, num_layers=2, num_heads=2, ffn_dim=32, encoder_ffn_dim=32,
        num_blocks=1, num_denoising=8)), instances, ROW.read, dict(top_k=3))


@pytest.mark.parametrize('row', [ROW, MASKS, DENOISING], ids=['boxes', 'masks', 'denoising'])
@pytest.mark.parametrize('check', [check_learns, check_frozen, check_saved_and_copied, check_options])
def test_every_model(check, row):
    check(row)


def test_in_a_batch_as_alone():
    model, batch = MASKS.build(), MASKS.batch(ODD, (31, 90), (101, 45))
    together = MASKS.predict(model, batch, top_k=5)
    for index, found in enumerate(together):
        one = {key: values[index:index + 1] for key, values in batch.items()}
        assert same(MASKS.predict(model, one, top_k=5), [found], 1e-4)
        assert found[3].shape == (5, *batch['data_samples'][index].ori_shape) and found[3].dtype == torch.bool


def test_masks_lie_over_the_original_image():
    """A mask of the left half of a padded image of 64x64, which shows 48x40 pixels, once 96x120."""
    model = MASKS.build()
    features = torch.full((1, 1, 16, 16), -1.)
    features[..., :8] = 1.
    model.network.forward = lambda images: [BoxPrediction(
        torch.zeros(1, 1, 1, 5), torch.full((1, 1, 1, 4), .5), MaskFactors(torch.ones(1, 1, 1, 1), features))]
    sample = BaseDataElement(metainfo=dict(img_shape=(48, 40), ori_shape=(96, 120)))
    masks = model.predict(torch.zeros(1, 3, 64, 64), [sample], top_k=1)[0].pred_instances.masks
    assert masks.shape == (1, 96, 120)
    assert masks[..., :94].all() and not masks[..., 98:].any()


def test_boxes_lie_over_the_original_image_and_within_it():
    """An image of 40x60 pixels that was 80x180, padded to 48x64 for the network."""
    model = ROW.build()
    logits = torch.full((1, 1, 2, 5), -9.)
    logits[0, 0, 0, 3], logits[0, 0, 1, 1], logits[0, 0, 1, 4] = 2., 1., 0.
    boxes = torch.tensor([[[[20 / 64, 10 / 48, 8 / 64, 4 / 48], [60 / 64, 40 / 48, 16 / 64, 16 / 48]]]])
    model.network.forward = lambda images: [BoxPrediction(logits, boxes)]
    sample = BaseDataElement(metainfo=dict(img_shape=(40, 60), ori_shape=(80, 180)))
    found = model.predict(torch.zeros(1, 3, 40, 60), [sample], top_k=3)[0].pred_instances
    assert found.labels.tolist() == [3, 1, 4]
    torch.testing.assert_close(found.scores, torch.tensor([2., 1., 0.]).sigmoid())
    torch.testing.assert_close(found.bboxes, torch.tensor(
        [[48., 16., 72., 24.], [156., 64., 180., 80.], [156., 64., 180., 80.]]))
    assert len(best_objects(logits[0, 0], score_threshold=.6).labels) == 2


def test_targets_are_shares_of_the_padded_image():
    sample = BaseDataElement()
    sample.gt_instances = InstanceData(labels=torch.tensor([4]), bboxes=torch.tensor([[10., 20., 30., 60.]]))
    target = ROW.build().target(sample, (80, 40))
    torch.testing.assert_close(target.boxes, torch.tensor([[.5, .5, .5, .5]]))
    sample.gt_instances.labels += 1
    with pytest.raises(ValueError, match='label 5, but the model has classes 0 to 4.*model.num_classes'):
        ROW.build().target(sample, (80, 40))


def test_more_objects_than_queries_are_told_once():
    model, batch = ROW.build(), ROW.batch(ODD)
    batch['data_samples'][0].gt_instances = InstanceData(
        labels=torch.zeros(9, dtype=torch.long), bboxes=torch.rand(9, 2).repeat(1, 2) + torch.tensor([0., 0., 9., 9.]))
    with pytest.warns(UserWarning, match='9 objects .* 8 queries.*head.num_queries'):
        model.loss(torch.zeros(1, 3, *ODD), batch['data_samples'])
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        model.loss(torch.zeros(1, 3, *ODD), batch['data_samples'])


@pytest.mark.parametrize('dataset', ['densevit.CocoInstanceDataset', 'mmdet.CocoDataset'])
def test_trains_and_is_evaluated_on_coco(dataset, tmp_path, quick_runs):
    """Files of COCO's form, one image of which has no object, by our data set and by mmdetection's."""
    folder = write_coco_like(tmp_path / 'data')
    path = folder / 'instances.json'
    content = json.loads(path.read_text())
    content['annotations'] = [each for each in content['annotations'] if each['image_id'] != 10]
    path.write_text(json.dumps(content))
    classes = tuple(category['name'] for category in content['categories'])
    options = dict(with_masks=False) if dataset.startswith('densevit') else {}
    source = dict(type=dataset, data_root=str(folder), ann_file='instances.json', data_prefix=dict(img='images'),
                  metainfo=dict(classes=classes), **options)
    steps = [dict(type='densevit.LoadImage'), dict(type='mmdet.LoadAnnotations', with_bbox=True),
             dict(type='mmdet.PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape'))]
    loader = dict(batch_size=3, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False))
    cfg = Config(dict(
        default_scope='mmdet', work_dir=str(tmp_path / 'work'), custom_imports=dict(imports=['densevit']),
        model=dict(ROW.config, num_classes=len(classes), backbone=VIT,
                   data_preprocessor=dict(type='mmdet.DetDataPreprocessor', mean=[127.] * 3, std=[60.] * 3)),
        train_dataloader=dict(loader, dataset=dict(source, pipeline=steps)),
        val_dataloader=dict(loader, dataset=dict(source, pipeline=[steps[0], dict(type='densevit.PackWithTruth')]
                                                 if options else steps, test_mode=True)),
        val_evaluator=dict(type='densevit.InstanceMetric', metric='bbox') if options else dict(
            type='mmdet.CocoMetric', ann_file=str(path), metric='bbox'),
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=2, val_interval=2), val_cfg=dict(type='ValLoop'),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=1e-3))))
    runner = Runner.from_cfg(cfg)
    before = copy.deepcopy(runner.model.state_dict())
    runner.train()
    after = runner.model.state_dict()
    assert not torch.equal(before['network.class_head.weight'], after['network.class_head.weight'])
    scores = runner.message_hub.log_scalars
    assert any(name.startswith('val/') and 0 <= scores[name].current() <= 100 for name in scores if 'AP' in name)


def gradients(model, images, samples):
    """Of a step, by parameter."""
    model.train()
    sum(model(images, samples, mode='loss').values()).backward()
    return {name.removeprefix('module.'): parameter.grad for name, parameter in model.named_parameters()}


def shares():
    """The images and samples of two processes: those of the second are without objects."""
    samples = ROW.batch((64, 64), (64, 64), size=(64, 64))['data_samples']
    for sample in samples[1:]:
        sample.gt_instances = InstanceData(labels=torch.zeros(0, dtype=torch.long), bboxes=torch.zeros(0, 4))
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    return [(images[index:index + 1], samples[index:index + 1]) for index in range(2)]


def work(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group('gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2)
    found = gradients(DistributedDataParallel(ROW.build()), *shares()[rank])
    if rank == 0:
        torch.save(found, Path(folder, 'gradients.pt'))
    dist.destroy_process_group()


def test_two_processes_of_which_one_sees_no_object_learn_as_one_with_both_shares(tmp_path):
    mp.start_processes(partial(work), (str(tmp_path), ), nprocs=2, start_method=SERVER.get_start_method())
    found = torch.load(tmp_path / 'gradients.pt')
    (first, labelled), (second, empty) = shares()
    expected = gradients(ROW.build(), torch.cat((first, second)), [*labelled, *empty])
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-5 * max(1., gradient.abs().max().item()))


def test_predicts_through_the_front_door(tmp_path):
    torch.save(ROW.build().state_dict(), tmp_path / 'weights.pth')
    config = tmp_path / 'config.py'
    config.write_text(f"""
default_scope = 'mmdet'
model = dict(type='densevit.Detector', num_classes=5, head={HEAD!r}, backbone={VIT!r},
    data_preprocessor=dict(type='mmdet.DetDataPreprocessor', mean=[127.] * 3, std=[60.] * 3))
test_dataloader = dict(dataset=dict(type='densevit.CocoInstanceDataset', metainfo=dict(classes=tuple('abcde')),
    pipeline=[dict(type='densevit.LoadImage'), dict(type='mmdet.Resize', scale=(96, 64), keep_ratio=False),
              dict(type='densevit.PackWithTruth')]))
""")
    predictor = densevit.load(config, tmp_path / 'weights.pth')
    result = predictor.predict(np.full((50, 90, 3), 90, np.uint8), min_score=0.)
    assert result.task == 'detection' and len(result.boxes) and result.boxes[:, 2].max() <= 90
