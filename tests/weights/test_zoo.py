"""Known models are found in the package, at a path, or in a cache laid out as the hub's."""
from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants

from densevit.registry import config_file
from densevit.weights import WeightsError, WeightsNotFoundError, model_tables, zoo

ROOT = Path(__file__).parents[2]


@pytest.fixture
def bundled(tmp_path, monkeypatch):
    monkeypatch.setattr(zoo, 'BUNDLED', tmp_path)
    return tmp_path


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    """An empty cache of the hub, with no way to fill it."""
    monkeypatch.setattr(constants, 'HF_HUB_CACHE', str(tmp_path / 'hub'))
    monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', True)
    return tmp_path / 'hub'


def put_in_cache(cache, repo_id, file, content):
    """A repository as huggingface_hub keeps it: a ref, a blob, and a link to it in a snapshot."""
    repo, commit = cache / f'models--{repo_id.replace("/", "--")}', 'a' * 40
    for folder in ('refs', 'blobs', f'snapshots/{commit}'):
        (repo / folder).mkdir(parents=True)
    (repo / 'refs' / 'main').write_text(commit)
    (repo / 'blobs' / 'b').write_bytes(content)
    link = repo / 'snapshots' / commit / file
    link.symlink_to(repo / 'blobs' / 'b')
    return link


def test_names():
    assert zoo.names()[0] == 'eomt_tiny_animals'
    assert {'eomt_vitl_ade20k', 'eomt_vitl_cityscapes', 'eomt_vitl_dinov3_ade20k'} < set(zoo.names())
    assert all(zoo.entry(name).name == name for name in zoo.names())


def test_a_mistyped_name():
    for name, near in (('eomt_tiny_camvit', 'eomt_tiny_camvid'), ('eomt_vitl_ade', 'eomt_vitl_ade20k')):
        with pytest.raises(ValueError, match=f"did you mean '{near}'"):
            zoo.entry(name)
    with pytest.raises(ValueError, match="no model is named 'xyz'; known are eomt_tiny_animals, "):
        zoo.entry('xyz')


@pytest.mark.parametrize('license, said', [
    ('CC-BY-NC-4.0', 'licensed CC-BY-NC-4.0, which forbids commercial use'), ('for research (data)', 'forbids'),
    ('not stated', 'without a licence'), ('Apache-2.0', ''), ('MIT', ''), ('DINOv3 License', '')])
def test_terms_that_forbid_commerce_are_said_once(license, said, hub_cache, caplog):
    item = replace(zoo.entry('eomt_vitl_ade20k'), license=license, name=f'model under {license}')
    with pytest.raises(WeightsNotFoundError):
        zoo.find_weights(item)  # of what cannot be loaded nothing is said
    assert not caplog.messages
    put_in_cache(hub_cache, item.repo_id, item.file, b'weights')
    for _ in range(2):
        zoo.find_weights(item)
    assert len(caplog.messages) == bool(said)
    assert all(said in message and item.name in message for message in caplog.messages)


def test_the_zoo_knows_which_weights_are_not_for_money():
    free = {name for name in zoo.names() if not zoo.entry(name).terms}
    assert {'depth_anything_v2_vits', 'depth_anything_3_mono_vitl', 'midas_vitl_384'} < free
    for name in ('depth_anything_v2_vitb', 'depth_anything_v2_vitl', 'depth_anything_v2_vits_hypersim',
                 'vitmatte_s_comp1k'):
        assert name not in free


def test_every_config_has_a_row_of_its_name():
    rows = [row['config'] for collection in zoo.collections().values() for row in collection['models']]
    configs = [path.relative_to(ROOT / 'configs').as_posix() for path in (ROOT / 'configs').glob('*/*.py')]
    assert sorted(rows) == sorted(path for path in configs if not path.startswith('_base_/'))
    assert all(config_file(f'densevit::{zoo.entry(name).config}').is_file() for name in zoo.names())


def test_metafile_and_docs__follow_from_the_table(capsys):
    assert model_tables.main(['--check']) == 0, capsys.readouterr().out


def test_weights_in_the_package(bundled):
    item = zoo.entry('eomt_tiny_camvid')
    with pytest.raises(WeightsNotFoundError, match='install densevit again'):
        zoo.find_weights(item)
    with pytest.raises(FileNotFoundError, match='no card'):
        zoo.model_card(item.name)
    weights = bundled / item.file
    weights.write_bytes(b'weights')
    assert zoo.find_weights(item) == weights
    card = dict(metrics=dict(mIoU=.5), sha256=zoo.file_sha256(weights))
    (bundled / f'{item.name}.json').write_text(json.dumps(card))
    assert zoo.find_weights(item) == weights
    assert zoo.model_card(item.name)['metrics']['mIoU'] == .5
    weights.write_bytes(b'weight5')
    with pytest.raises(WeightsError, match='sha256'):
        zoo.find_weights(item)


@pytest.mark.parametrize('name', ['eomt_vitl_ade20k', 'eomt_vitl_dinov3_ade20k'])
def test_weights_in_the_cache_of_the_hub(hub_cache, name):
    item = zoo.entry(name)
    with pytest.raises(WeightsNotFoundError) as error:
        zoo.find_weights(item)
    message = str(error.value)
    assert f'{item.repo_id}/resolve/main/{item.file}' in message and str(hub_cache) in message and '\n' not in message
    link = put_in_cache(hub_cache, item.repo_id, item.file, b'weights')
    assert zoo.find_weights(item) == link and link.read_bytes() == b'weights'


def test_weights_at_a_url(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))
    monkeypatch.setattr(
        torch.hub, 'download_url_to_file', lambda url, path, **kwargs: Path(path).write_bytes(b'weights'))
    item = zoo.entry('mask2former_swin_t_ade20k')
    found = zoo.find_weights(item)
    assert found.name.endswith('model_final_5274a6.pkl') and found.read_bytes() == b'weights'
    monkeypatch.setattr(torch.hub, 'download_url_to_file', lambda url, path, **options: 1 / 0)
    assert zoo.find_weights(item) == found  # from the cache


def test_the_base_of_differences(hub_cache, tmp_path):
    item = zoo.entry('eomt_vitl_dinov3_ade20k')
    assert zoo.find_base(zoo.entry('eomt_vitl_ade20k')) is None
    with pytest.raises(WeightsNotFoundError, match='facebook/dinov3-vitl16'):
        zoo.find_base(item)
    link = put_in_cache(hub_cache, item.base_repo_id, 'model.safetensors', b'base')
    assert zoo.find_base(item) == link
    (tmp_path / 'base.pth').touch()
    assert zoo.find_base(item, tmp_path / 'base.pth') == tmp_path / 'base.pth'
    assert zoo.find_base(replace(item, base_repo_id=None)) is None
