"""Panoptic maps and instance lists are those of EoMT's authors, and of transformers where it reads alike."""
import json
import os
from hashlib import sha1
from types import SimpleNamespace

import pytest
import torch
from official import GOLDEN, importable, repository

from densevit.networks.segmentation import instance_masks, panoptic_map

NUM_CLASSES, SIZE, TOP_K = 7, (24, 32), 30
STUFF = (1, 4, 5)  # among the things
RECORD = GOLDEN / 'eomt_postprocess.json'
SYMBOLS = '0123456789abcdefghijklmnopqrstuvwxyz'


def case(seed):
    """Mask logits (Q, 24, 32) of blobs that overlap, and class logits (Q, 8), some of them void or doubtful.

    Sums alone, so that every processor makes the same.
    """
    generator = torch.Generator().manual_seed(seed)
    count = 6 + seed % 7
    # Each cell of 6 x 8 pixels belongs to a proposal, and to others with less or even more certainty.
    owner = torch.randint(count, (4, 4), generator=generator)
    others = torch.randint(28, (count, 4, 4), generator=generator)
    cells = torch.tensor([-5., -4., -3., -2.] * 6 + [-1., -.5, 1., 5.])[others]
    cells = torch.where(owner == torch.arange(count)[:, None, None], 4., cells)
    fine = torch.randint(-24, 25, (count, *SIZE), generator=generator)
    masks = cells.repeat_interleave(6, 1).repeat_interleave(8, 2) + fine / 16 + 1 / 64
    classes = torch.randint(-8, 9, (count, NUM_CLASSES + 1), generator=generator) / 8
    label = torch.randint(NUM_CLASSES + 1, (count, ), generator=generator)
    label[::3] = torch.tensor(STUFF)[torch.randint(len(STUFF), (len(label[::3]), ), generator=generator)]
    classes[torch.arange(count), label] += torch.randint(3, 9, (count, ), generator=generator)
    if seed == 0:
        classes[:, -1] += 20.  # nothing is found
    return masks, classes


CASES = range(20)


@pytest.fixture(scope='module')
def authors():
    """The authors' evaluation, without the framework around it."""
    folder = repository('eomt')
    nothing = dict.fromkeys(('_prepocess_inputs', '_Color', '_get_color_areas', '_calculate_iou'))
    stubs = {
        'lightning': dict(LightningModule=object),
        'lightning.fabric.utilities': dict(rank_zero_info=print),
        'torchmetrics.classification': dict(MulticlassJaccardIndex=None),
        'torchmetrics.detection': dict(PanopticQuality=None, MeanAveragePrecision=None),
        'torchmetrics.functional.detection._panoptic_quality_common': nothing,
        'wandb': {},
    }
    with importable(folder, stubs=stubs):
        from training.mask_classification_instance import MaskClassificationInstance
        from training.mask_classification_panoptic import MaskClassificationPanoptic
    return SimpleNamespace(panoptic=MaskClassificationPanoptic, instance=MaskClassificationInstance)


def their_panoptic_map(authors, masks, classes):
    """Class ids and segment ids, (24, 32) each."""
    model = SimpleNamespace(num_classes=NUM_CLASSES)
    found, = authors.panoptic.to_per_pixel_preds_panoptic(model, [masks], classes[None], STUFF, .8, .8)
    return found[..., 0], found[..., 1]


def their_instances(authors, masks, classes):
    class Model(authors.instance):
        device, img_size, eval_top_k_instances = masks.device, SIZE, TOP_K

        def __init__(self):
            self.found = None

        def __call__(self, images):
            return [masks[None].clone()], [classes[None]]

        def resize_and_pad_imgs_instance_panoptic(self, images):
            return images

        def revert_resize_and_pad_logits_instance_panoptic(self, logits, sizes):
            return list(logits)

        def update_metrics_instance(self, found, targets, block):
            self.found, = found

    model = Model()
    model.eval_step(([torch.zeros(3, *SIZE)], [dict(masks=None, labels=None, is_crowd=None)]))
    order = model.found['scores'].sort(descending=True).indices
    return {name: tensor[order] for name, tensor in model.found.items()}


def read(seed):
    """Ours, as it is recorded."""
    masks, classes = case(seed)
    segments, labels = panoptic_map(masks, classes, STUFF)
    return _as_record(segments, labels.tolist(), instance_masks(masks, classes, TOP_K)._asdict())


def _as_record(segments, labels, instances):
    rows = [''.join('.' if value < 0 else SYMBOLS[value] for value in row) for row in segments.tolist()]
    # What has the same score may come in any order.
    found = sorted(
        ([round(score, 5), label, sha1(mask.to(torch.uint8).numpy().tobytes()).hexdigest()[:12]]
         for score, label, mask in zip(instances['scores'].tolist(), instances['labels'].tolist(),
                                       instances['masks'], strict=True)), reverse=True)
    return dict(segments=rows, labels=labels, instances=found)


def _assert_same(ours, theirs):
    assert ours['segments'] == theirs['segments'] and ours['labels'] == theirs['labels']
    assert len(ours['instances']) == len(theirs['instances'])
    for (score, *what), (expected, *wanted) in zip(
            *(sorted(side['instances'], key=lambda row: row[1:]) for side in (ours, theirs)), strict=True):
        assert what == wanted and score == pytest.approx(expected, abs=2e-5)


def test_the_authors_code_reads_the_same(authors):
    for seed in CASES:
        masks, classes = case(seed)
        their_classes, their_segments = their_panoptic_map(authors, masks, classes)
        segments, labels = panoptic_map(masks, classes, STUFF)
        assert torch.equal(segments, their_segments)
        assert torch.equal(torch.cat((labels, labels.new_tensor([NUM_CLASSES])))[segments], their_classes)
        theirs = their_instances(authors, masks, classes)
        _assert_same(read(seed), _as_record(their_segments, labels.tolist(), theirs))


def test_record_of_the_authors_code(request):
    """Maps and lists that their code gave."""
    if os.environ.get('DENSEVIT_WRITE_GOLDEN'):
        authors = request.getfixturevalue('authors')
        rows = []
        for seed in CASES:
            masks, classes = case(seed)
            ids, segments = their_panoptic_map(authors, masks, classes)
            labels = [int(ids[segments == index][0]) for index in range(int(segments.max()) + 1)]
            rows.append(_as_record(segments, labels, their_instances(authors, masks, classes)))
        RECORD.write_text('[' + ',\n'.join(json.dumps(row, separators=(',', ':')) for row in rows) + ']\n')
    record = json.loads(RECORD.read_text())
    for seed in CASES:
        _assert_same(read(seed), record[seed])


def test_the_cases_hold_what_can_go_wrong():
    record = json.loads(RECORD.read_text())
    assert not record[0]['labels'] and set(''.join(record[0]['segments'])) == {'.'}
    assert sum('.' in ''.join(row['segments']) for row in record) >= 10
    assert sum(len(row['labels']) >= 3 for row in record) >= 8
    kept = {label for row in record for label in row['labels']}
    assert kept >= set(range(NUM_CLASSES))
    fused = dropped = 0
    for seed in CASES:
        scores, labels = case(seed)[1].softmax(-1).max(-1)
        sure = [label for score, label in zip(scores.tolist(), labels.tolist(), strict=True)
                if score > .8 and label < NUM_CLASSES]
        fused += any(sure.count(label) > 1 for label in STUFF)
        dropped += len(set(sure)) > len(set(record[seed]['labels']))
    assert fused >= 5 and dropped >= 5


def test_transformers_reads_the_same_panoptic_map():
    """Of EoMT; its Mask2Former binarises scores times probabilities, not the probabilities.

    Segments that keep exactly ``overlap_threshold`` stay here and with the authors (``<`` drops them); transformers
    drops them (``not >``), so that the threshold lies between two ratios here.
    """
    for seed in CASES[:8]:
        processing = pytest.importorskip('transformers.models.eomt.image_processing_eomt', reason='needs transformers')
        masks, classes = case(seed)
        padded = torch.nn.functional.pad(masks, (0, 0, 0, SIZE[1] - SIZE[0]))
        outputs = SimpleNamespace(masks_queries_logits=padded[None], class_queries_logits=classes[None])
        side = dict(longest_edge=SIZE[1], shortest_edge=SIZE[1])
        theirs, = processing.EomtImageProcessor().post_process_panoptic_segmentation(
            outputs, [SIZE], threshold=.8, overlap_mask_area_threshold=.80001, stuff_classes=list(STUFF), size=side)
        segments, labels = panoptic_map(masks, classes, STUFF, overlap_threshold=.80001)
        assert torch.equal(segments, theirs['segmentation'].long())
        assert labels.tolist() == [row['label_id'] for row in theirs['segments_info']]


def test_transformers_reads_the_same_instances():
    """Of Mask2Former, the best pairs of query and class; its EoMT gives each query its best class alone."""
    for seed in range(1, 4):
        processing = pytest.importorskip('transformers.models.mask2former.image_processing_mask2former',
                                         reason='needs transformers')
        masks, classes = case(seed)
        outputs = SimpleNamespace(masks_queries_logits=masks[None], class_queries_logits=classes[None])
        theirs, = processing.Mask2FormerImageProcessor().post_process_instance_segmentation(
            outputs, threshold=0., return_binary_maps=True)
        masks = torch.nn.functional.interpolate(masks[None], (384, 384), mode='bilinear')[0]
        ours = instance_masks(masks, classes, top_k=len(classes))
        seen = ours.masks.flatten(1).any(1)  # it leaves out what has no pixel
        rows = theirs['segments_info']
        theirs = _as_record(torch.zeros(0, 0), [], dict(
            scores=torch.tensor([row['score'] for row in rows]), labels=torch.tensor([row['label_id'] for row in rows]),
            masks=theirs['segmentation'].bool()))
        ours = _as_record(torch.zeros(0, 0), [], {name: part[seen] for name, part in ours._asdict().items()})
        assert len(rows) > 3
        _assert_same(ours, theirs)
