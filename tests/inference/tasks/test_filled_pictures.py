"""Pictures whose holes are filled: masks of any form, and pixels that are not masked come back exactly."""
import json

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from densevit import inference
from densevit.evaluation import psnr
from densevit.inference import cli
from densevit.inference.predictor import Predictor
from densevit.registry import MODELS

SIZE = (50, 70)


def fill(channels=3, **options):
    """A network that is not trained: what it fills in is random."""
    torch.manual_seed(0)
    model = MODELS.build(dict(type='densevit.Restorer', head=dict(
        type='densevit.MAT', in_channels=channels, dim=16, widths=(4, 6, 8), depths=(1, ) * 5, num_heads=2,
        window_sizes=(4, ) * 5, skip='pyramid')))
    torch.nn.init.normal_(model.network.conv_last.weight, std=.05)
    load = dict(type='densevit.LoadPair', keep_depth=True, color_type='color' if channels == 3 else 'grayscale')
    pipeline = [load, dict(type='densevit.Holes', seed=0), dict(type='densevit.PackPair')]
    return Predictor(model, Config(dict(test_dataloader=dict(dataset=dict(pipeline=pipeline)))), **options)


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (*SIZE, 3)).astype(np.uint8)


@pytest.fixture
def mask():
    mask = np.zeros(SIZE, bool)
    mask[10:30, 20:45] = True
    return mask


def check(found, given, mask):
    assert found.dtype == given.dtype and np.array_equal(found[~mask], given[~mask])
    assert not np.array_equal(found[mask], given[mask])


@pytest.mark.parametrize('options', [{}, dict(tiles=(32, 40), overlap=.3, batch_size=2), dict(tiles='auto')])
@pytest.mark.parametrize('dtype', (torch.float32, torch.bfloat16))
def test_other_pixels_come_back_exactly(image, mask, options, dtype):
    """Of a model of any type, whole or in tiles, one of which may be hidden almost altogether."""
    mask[:, :39] = True
    predictor = fill()
    predictor.model.to(dtype)
    result = predictor.predict(image, mask=mask, **options)
    check(result.restored, image, mask)
    assert np.array_equal(result.holes, mask) and 0 < result.to_dict()['filled'] < 1


@pytest.mark.parametrize('channels', (1, 3))
def test_files_of_any_kind(tmp_path, mask, channels):
    """8 and 16 bits, grey, colour and with alpha, whose colours under it stay too."""
    random = np.random.default_rng(0)
    for dtype in (np.uint8, np.uint16):
        for bands in (1, 3, 4):
            values = random.integers(0, np.iinfo(dtype).max + 1, (*SIZE, bands)).astype(dtype).squeeze()
            if channels == 1 and bands != 1:
                continue
            cv2.imwrite(str(tmp_path / 'a.png'), values)
            result = fill(channels).predict(tmp_path / 'a.png', mask=mask)
            _, file = result.save(tmp_path / 'out.png')
            written = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
            assert written.shape == values.shape
            check(written, values, mask)
            if bands == 4:
                assert np.array_equal(written[..., 3], values[..., 3])


@pytest.mark.parametrize('options', [dict(tiles='auto'), dict(tiles=(32, 40), overlap=.3)])
def test_masks_in_folders_and_dictionaries__in_tiles(tmp_path, image, mask, options):
    """They go by the name of the picture, also while memory is measured, and true pictures with them."""
    Image.fromarray(image).save(tmp_path / 'a.png')
    for folder, pixels in (('masks', mask), ('true', image)):
        (tmp_path / folder).mkdir()
        Image.fromarray(pixels).save(tmp_path / folder / 'a.png')
    predictor = fill()
    expected = predictor.predict(image, mask=mask, **options).restored
    for given, true in ((tmp_path / 'masks', tmp_path / 'true'), ({'a.png': mask}, {'a.png': image})):
        result = predictor.predict(tmp_path / 'a.png', mask=given, reference=true, **options)
        assert np.array_equal(result.restored, expected) and np.array_equal(result.reference, image)


def test_a_tile_that_is_all_hole(image, mask):
    """There is nothing in it to fill it from; said before the model has worked on any other."""
    mask[18:, 30:] = True
    predictor, ran = fill(), []
    predictor.model.network.register_forward_pre_hook(lambda *_: ran.append(1))
    for whole in (False, True):
        with pytest.raises(ValueError, match=r'tile of 40x32 pixels at \(30, 18\).*larger'):
            predictor.predict(image, mask=mask, tiles=(32, 40), overlap=.3, whole_picture=whole)
    assert not ran
    check(predictor.predict(image, mask=mask).restored, image, mask)
    corner = np.zeros(SIZE, bool)  # all of a tile that only stands for others while memory is measured
    corner[:32, :69] = True
    check(predictor.predict(image, mask=corner, tiles='auto').restored, image, corner)


def test_a_mask_is_converted_once_for_all_tiles(image, mask):
    class Counted:
        asked = 0

        def __array__(self, dtype=None, copy=None):
            self.asked += 1
            return mask.astype(np.uint8)

    given = Counted()
    result = fill().predict(image, mask=given, tiles=(32, 40), overlap=.3)
    assert given.asked == 1 and np.array_equal(result.holes, mask)


def test_masks_of_any_form(tmp_path, image, mask):
    """White is filled: arrays, files of 8 and 16 bits, grey or in colours, folders, dictionaries."""
    Image.fromarray(image).save(tmp_path / 'a.png')
    white = mask.astype(np.uint8) * 255
    (tmp_path / 'masks').mkdir()
    Image.fromarray(white).save(tmp_path / 'masks/a.png')
    Image.fromarray(white[..., None].repeat(3, 2)).save(tmp_path / 'colour.png')
    Image.fromarray(mask).save(tmp_path / 'bits.png')
    Image.fromarray(mask.astype(np.uint8)).save(tmp_path / 'ones.png')
    Image.fromarray(np.dstack([np.full((*SIZE, 3), 255, np.uint8), white])).save(tmp_path / 'painted.png')
    cv2.imwrite(str(tmp_path / 'deep.png'), mask.astype(np.uint16) * 65535)
    predictor = fill()
    expected = predictor.predict(tmp_path / 'a.png', mask=mask).restored
    for given in (white, mask.astype(float), mask.astype(np.int64), tmp_path / 'masks', str(tmp_path / 'masks/a.png'),
                  tmp_path / 'colour.png', tmp_path / 'bits.png', tmp_path / 'ones.png', tmp_path / 'painted.png',
                  tmp_path / 'deep.png', {'a.png': mask}):
        assert np.array_equal(predictor.predict(tmp_path / 'a.png', mask=given).restored, expected)


def test_what_is_hidden_does_not_matter(image, mask):
    predictor, other = fill(), np.where(mask[..., None], np.uint8(77), image)
    assert np.array_equal(predictor.predict(image, mask=mask).restored, predictor.predict(other, mask=mask).restored)


def test_what_is_wrong_is_said(image, mask, tmp_path):
    predictor = fill()
    for given, said in ((None, 'give mask='), (mask[1:], r'has \(49, 70\) pixels and the picture \(50, 70\)'),
                        (mask.T, 'EXIF orientation'), (np.ones(SIZE), 'all of the picture'), (image, 'give .H, W.'),
                        (tmp_path, 'has no mask for'), ('nowhere.png', 'check the path'),
                        ({'b.png': mask}, 'give mask=')):
        with pytest.raises(ValueError, match=said):
            predictor.predict(image, mask=given)
    result = predictor.predict(image, mask=~np.ones(SIZE, bool))
    assert np.array_equal(result.restored, image) and 'marks nothing' in result.notes[0]
    good, bad = predictor.outcomes([image, image[:40]], mask=mask)
    assert np.array_equal(good.restored[~mask], image[~mask]) and isinstance(bad, ValueError)


def test_models_that_fill_nothing_refuse_a_mask(image, mask):
    model = MODELS.build(dict(type='densevit.Restorer', head=dict(
        type='densevit.SwinIR', embed_dim=8, depths=(1, ), num_heads=1)))
    predictor = Predictor(model, fill().cfg)
    with pytest.raises(ValueError, match='fills no holes'):
        predictor.predict(image, mask=mask)
    assert predictor.predict(image).holes is None


def test_figures_beside_those_of_opencv(image, mask):
    """What is known at no cost is Telea's filling; holes are compared alone as well."""
    result = fill().predict(image, mask=mask, reference=image)
    telea = cv2.inpaint(image, mask.astype(np.uint8), 3, cv2.INPAINT_TELEA)
    assert result.figures_before.hole_psnr == psnr(telea, image, where=mask)
    assert result.figures.hole_psnr == psnr(result.restored, image, where=mask)
    rows = {row.cells[0]: row.cells[4:] for row in result.table().rows}
    assert rows['cv2.inpaint'][2] == f'{result.figures_before.hole_psnr:.2f}' and set(rows['given']) == {''}
    assert result.to_dict()['reference']['restored']['hole_PSNR'] == result.figures.hole_psnr
    assert (result.draw()[:SIZE[0]] == 255).all(-1).any()  # holes are white


def test_command(image, mask, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(inference, 'load', lambda name, **options: fill())
    monkeypatch.chdir(tmp_path)
    Image.fromarray(image).save('a.png')
    Image.fromarray(mask).save('holes.png')
    assert cli.main(['a.png', '--mask', 'holes.png', '--json']) == 0
    assert json.loads((tmp_path / 'outputs/a.png.json').read_text())['filled'] == pytest.approx(mask.mean())
    check(np.array(Image.open('outputs/a.png.restored.png')), image, mask)
    assert cli.main(['a.png']) == 2 and '--mask' in capsys.readouterr().err
    assert cli.main([]) == 0  # the photograph that is always there, with some holes
    assert 'cv2.inpaint' in capsys.readouterr().out


@pytest.mark.parametrize(('size', 'options'), [((2, 200), {}), ((60, 80), dict(max_pixels=1000)), ((1, 7), {})])
def test_strips_and_pictures_that_are_shrunk(size, options):
    """What the model sees is then another picture; what is not filled comes back all the same."""
    image = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    mask = np.zeros(size, bool)
    mask[:, :size[1] // 2] = True
    check(fill().predict(image, mask=mask, **options).restored, image, mask)


@pytest.mark.parametrize('bands', [(), (3, )])
def test_shrunk_pictures_of_sixteen_bits(bands):
    image = np.random.default_rng(0).integers(0, 65536, (60, 80, *bands)).astype(np.uint16)
    mask = np.zeros(image.shape[:2], bool)
    mask[:, :40] = True
    restored = fill().predict(image, mask=mask, max_pixels=1000).restored
    check(restored, image if bands else image[..., None].repeat(3, 2), mask)


def test_colours_under_alpha_of_shrunk_pictures(tmp_path):
    """What is not filled stays, seen or not."""
    rgba = np.random.default_rng(0).integers(0, 256, (60, 80, 4)).astype(np.uint8)
    mask = np.zeros((60, 80), bool)
    mask[:, :40] = True
    Image.fromarray(rgba).save(tmp_path / 'a.png')
    check(fill().predict(tmp_path / 'a.png', mask=mask, max_pixels=1000).restored, rgba[..., :3], mask)
