"""ADE20K's label maps and instances become panoptic annotations that our dataset reads."""
import numpy as np
import pytest
from PIL import Image
from survey_rules import labels

from densevit import commands
from densevit.datasets import PanopticADE20KDataset
from densevit.datasets.common.survey import survey

WALL, FLOOR, BED, DOOR = 0, 3, 7, 14  # labels; bed and door are the things of classes 1 and 5 of the instance files


@pytest.fixture
def root(tmp_path):
    semantic = np.zeros((20, 30), np.uint8)
    semantic[:10], semantic[10:] = WALL + 1, FLOOR + 1
    semantic[2:8, 2:8], semantic[12:18, 2:8], semantic[:, 28:] = BED + 1, DOOR + 1, 0
    semantic[12:18, 12:18] = DOOR + 1  # without an instance
    instances = np.zeros((20, 30, 3), np.uint8)
    instances[2:8, 2:5] = 1, 1, 0
    instances[2:8, 5:8] = 1, 2, 0
    instances[12:18, 2:8] = 5, 3, 0
    for split in ('training', 'validation'):
        for kind, content, suffix in (('images', instances, 'jpg'), ('annotations', semantic, 'png'),
                                      ('annotations_instance', instances, 'png')):
            (tmp_path / kind / split).mkdir(parents=True)
            Image.fromarray(content).save(tmp_path / kind / split / f'ADE_{split}_1.{suffix}')
    return tmp_path


def run(*arguments):
    return commands.main(['prepare-ade20k-panoptic', *map(str, arguments)])


def test_converted_files_are_read(root):
    assert run(root) == 0
    for split, folder in (('train', 'training'), ('val', 'validation')):
        dataset = PanopticADE20KDataset(f'ade20k_panoptic_{split}.json', data_root=str(root), data_prefix=dict(
            img=f'images/{folder}', seg=f'ade20k_panoptic_{split}'))
        assert survey(dataset, split, labels(150)).unlabelled == 0
        assert dataset.metainfo['classes'] == PanopticADE20KDataset.METAINFO['classes']
        assert dataset.metainfo['isthing'] == PanopticADE20KDataset.METAINFO['isthing']
        segments = dataset.get_data_info(0)['segments_info']
        assert [(segment['category'], segment['is_thing']) for segment in segments] == [
            (WALL, False), (FLOOR, False), (BED, True), (BED, True), (DOOR, True)]
    ids = np.asarray(Image.open(root / 'ade20k_panoptic_val' / 'ADE_validation_1.png'))[..., 0]
    assert [int((ids == id_).sum()) for id_ in range(6)] == [40 + 36, 280 - 36, 280 - 72, 18, 18, 36]


def test_what_is_missing_or_wrong_is_said_in_one_line(root, capsys):
    path = root / 'annotations_instance' / 'training' / 'ADE_training_1.png'
    instances = np.array(Image.open(path))
    instances[3, 3, 0] = 9
    Image.fromarray(instances).save(path)
    assert run(root, '--splits', 'train') == 2
    assert 'instance 1 is of classes [1, 9]' in capsys.readouterr().err
    path.unlink()
    assert run(root, '--splits', 'train') == 2 and f'{path} is missing' in capsys.readouterr().err
    path.parent.rmdir()
    assert run(root) == 2 and 'annotations_instance.tar' in capsys.readouterr().err
