"""What the registry builds: pickled, and filled as its ``init_cfg`` says."""
from __future__ import annotations

import pickle
import sys

import pytest
import torch
from interpreters import OF_RUNS, run_program
from randomised import randomise
from tiny_models import TINY, random_timm

from densevit import PlainViT
from densevit.networks.base import Network
from densevit.registry import MODELS
from densevit.weights import WeightsError, WeightsNotFoundError, zoo
from densevit.weights.reading import read_state_dict

VIT = dict(TINY, img_size=64, patch_size=16)
SIZES = dict(embed_dim=16, num_heads=1, stages=(1, 2, 3, 1))
PLAIN = dict(type='densevit.PlainViT', **VIT)
SEGMENTOR = dict(type='densevit.MaskSegmentor', backbone=PLAIN, num_classes=3,
                 head=dict(type='densevit.EoMT', num_queries=4, num_blocks=1))
TINIES = {
    'PlainViT': PLAIN,
    'Hiera': dict(SIZES, img_size=(64, 96)),
    'HieraDet': dict(SIZES, global_att_blocks=(4, ), window_spec=(8, 4, 14, 7)),
    'SimpleFeaturePyramid': dict(vit=VIT, out_channels=8),
    'TimmPyramid': dict(name='resnet10t'),
    'ViTAdapter': dict(vit=VIT, num_heads=4),
    'ViTCoMer': dict(vit=VIT, num_heads=4),
    'MaskSegmentor': SEGMENTOR,
    'PixelSegmentor': dict(backbone=PLAIN, num_classes=3, head=dict(type='densevit.LinearNet')),
    'SemanticTTA': dict(module=SEGMENTOR),
    'Detector': dict(backbone=PLAIN, num_classes=3, head=dict(type='densevit.LWDETR', num_queries=4, num_layers=1)),
    'MattingModel': dict(backbone=dict(PLAIN, in_chans=4), head=dict(type='densevit.ViTMatte', residual_blocks=())),
    'MonocularDepth': dict(backbone=PLAIN, head=dict(type='densevit.LinearDepth', max_depth=10.)),
    'Restorer': dict(head=dict(type='densevit.SwinIR', embed_dim=8, depths=(1, ), num_heads=1)),
    'AdversarialRestorer': dict(head=dict(type='densevit.SwinIR', embed_dim=8, depths=(1, ), num_heads=1),
                                discriminator=dict(width=4)),
    'ClassifyingRestorer': dict(head=dict(type='densevit.SwinIR', embed_dim=8, depths=(1, ), num_heads=1),
                                num_degradations=2, classifier=dict(width=4)),
    'RestorationPreprocessor': {},
    'LayerNorm2d': dict(num_channels=4),
    'MixUpOrCopyBlend': {},
    'MultiScaleBatch': {},
}


def build(name, **kwargs):
    return MODELS.build({**TINIES[name], 'type': f'densevit.{name}', **kwargs})


def plain_vit(path='no.pth', **init_cfg):
    return build('PlainViT', init_cfg=dict(type='Pretrained', checkpoint=str(path), **init_cfg))


def test_every_module_is_known_here():
    build('PlainViT')  # has the registry filled
    networks = {name for name, cls in MODELS.module_dict.items() if issubclass(cls, Network)}
    assert TINIES.keys() == MODELS.module_dict.keys() - networks  # which are built around a backbone, by a Segmentor


def test_a_pickle_gives_the_same_module():
    for name in TINIES:
        module = build(name)
        again = pickle.loads(pickle.dumps(module))
        assert type(again) is type(module) and type(again).__name__ == name
        torch.testing.assert_close(again.state_dict(), module.state_dict())


def test_a_pickle_of_another_process(tmp_path):
    """Whose densevit has not registered anything yet."""
    (tmp_path / 'module.pkl').write_bytes(pickle.dumps(build('PlainViT')))
    code = 'import pickle, sys; print(type(pickle.load(open(sys.argv[1], "rb"))).__mro__[:3])'
    done = run_program(code, str(tmp_path / 'module.pkl'), path=sys.path, imported=OF_RUNS)
    assert 'densevit.models.registration.PlainViT' in done.stdout, done.stderr


def test_prefix__takes_one_of_several_backbones(tmp_path):
    """As of a student and its teacher; mmengine takes the prefix with and without its dot."""
    student, teacher = (random_timm('vit_small_patch16_224', seed=seed, img_size=64).state_dict() for seed in (1, 2))
    torch.save({**{f'student.backbone.{name}': tensor for name, tensor in student.items()},
                **{f'teacher.backbone.{name}': tensor for name, tensor in teacher.items()}}, tmp_path / 'semi.pth')
    with pytest.raises(WeightsError, match=r"student\.backbone\.\*, teacher\.backbone\.\*; choose one, such as "
                                           r"prefix='teacher\.backbone\.'"):
        plain_vit(tmp_path / 'semi.pth').init_weights()
    for prefix, state in (('student.backbone', student), ('teacher.backbone.', teacher)):
        backbone = plain_vit(tmp_path / 'semi.pth', prefix=prefix, map_location='cpu')
        backbone.init_weights()
        assert torch.equal(backbone.trunk.norm.weight, state['norm.weight'])
    with pytest.raises(WeightsError, match=r"begin with prefix='neck'; they begin with student\., teacher\."):
        plain_vit(tmp_path / 'semi.pth', prefix='neck').init_weights()


def test_a_known_model_by_name__gives_its_backbone():
    stem = dict(model_name='tf_efficientnet_lite0', out_indices=(1, 2, 4), output_stride=16)
    backbone = MODELS.build(
        dict(type='densevit.PlainViT', stem=stem, embed_dim=192, depth=5, num_heads=6, class_token=False,
             no_embed_class=True, img_size=288,
             init_cfg=dict(type='Pretrained', checkpoint='eomt_tiny_animals', prefix='network.backbone')))
    backbone.init_weights()
    known = read_state_dict(zoo.find_weights(zoo.entry('eomt_tiny_animals')))
    assert all(torch.equal(tensor, known[f'network.backbone.{name}'].to(tensor))
               for name, tensor in backbone.state_dict().items())


def test_other_init_cfg__is_refused():
    for init_cfg in ([dict(type='Pretrained', checkpoint='w.pth')], dict(type='Pretrained'),
                     dict(type='Normal', layer='Linear'), 'w.pth'):
        with pytest.raises(ValueError, match=r"init_cfg takes one dict\(type='Pretrained', checkpoint=\.\.\.\)"):
            build('PlainViT', init_cfg=init_cfg)
    with pytest.raises(ValueError, match='init_cfg takes type, checkpoint, prefix and map_location; leave out revise'):
        plain_vit(revise_keys=[])


def test_a_file_as_pretrained__is_told_where_to_put_it(tmp_path):
    path = tmp_path / 'mae.pth'
    path.touch()
    for name, options in (('PlainViT', dict(pretrained=str(path))),
                          ('ViTAdapter', dict(vit=dict(VIT, pretrained=str(path))))):
        with pytest.raises(ValueError, match=r"mae\.pth' is a file; leave it out and give the backbone init_cfg=dict"):
            build(name, **options)


def test_url__is_downloaded_once(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'cache'))
    source = randomise(PlainViT(**VIT))
    torch.save(source.state_dict(), tmp_path / 'epoch_12.pth')
    for _ in range(2):
        backbone = plain_vit((tmp_path / 'epoch_12.pth').as_uri())
        backbone.init_weights()
        assert torch.equal(backbone.trunk.norm.weight, source.trunk.norm.weight)
        (tmp_path / 'epoch_12.pth').unlink(missing_ok=True)


def test_url_that_gives_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'cache'))
    for url in ('file:///nowhere/w.pth', 'http://127.0.0.1:9/w.pth', 'open-mmlab://resnet18_v1c'):
        with pytest.raises(WeightsNotFoundError, match='download it first and give the path of the file') as error:
            plain_vit(url).init_weights()
        assert str(error.value).startswith(url)
