"""docs/openmmlab.md: its configs as they stand there, made thin, and what it says of errors."""
import re

import pytest
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS
from shrink import ROOT, batch, scope
from stock import build, detection_batch, shrink
from test_stock_configs import learn

from densevit.engine.run_config import load_config
from densevit.models.check import check_model
from densevit.models.pretraining import without_pretraining

PAGE = (ROOT / 'docs/openmmlab.md').read_text()
EXAMPLES = dict(zip(('upernet', 'mask_rcnn', 'dino'), re.findall(r'```python\n(.*?)```', PAGE, re.DOTALL), strict=True))


def example(name, folder):
    (folder / 'my_config.py').write_text(EXAMPLES[name])
    return load_config(str(folder / 'my_config.py'), {})


@pytest.mark.parametrize('name', EXAMPLES)
def test_example__learns_and_predicts(name, tmp_path):
    cfg = shrink(example(name, tmp_path))
    model = build(cfg)
    data = batch(150) if name == 'upernet' else detection_batch()
    with scope(cfg):
        assert learn(model, build_optim_wrapper(model, cfg.optim_wrapper), data) == []
        samples = model.eval().val_step(data)
    if name == 'upernet':
        assert [sample.pred_sem_seg.data.shape for sample in samples] == [(1, 64, 64)] * 2
    else:
        assert all(len(sample.pred_instances.bboxes) for sample in samples)


@pytest.mark.parametrize('name', EXAMPLES)
def test_example__channels_are_those_of_the_backbone(name, tmp_path):
    """At full width."""
    model = without_pretraining(example(name, tmp_path).model)
    if 'vit' in model.backbone:
        model.backbone.vit.update(depth=4, **({'global_blocks': (1, 3)} if name == 'mask_rcnn' else {}))
    built = MODELS.build(model.backbone)
    reader = model.get('neck') or model.get('decode_head') or model.rpn_head
    expected = reader.in_channels
    assert list(built.out_channels) == ([expected] * 5 if name == 'mask_rcnn' else list(expected))


def test_wrong_channels__are_told_before_the_run(tmp_path):
    cfg = shrink(example('upernet', tmp_path))
    cfg.model.decode_head.in_channels = [64] * 4
    with pytest.raises(ValueError, match=r'decode_head.*in_channels=\[32, 32, 32, 32\]'):
        check_model(build(cfg))


def test_page__names_what_there_is():
    import densevit
    from densevit.registry import OPTIM_WRAPPER_CONSTRUCTORS, TRANSFORMS
    registered = {*OPTIM_WRAPPER_CONSTRUCTORS.module_dict, *TRANSFORMS.module_dict}
    for name in set(re.findall(r'`densevit\.([A-Z]\w+)`', PAGE)):
        assert hasattr(densevit, name) or name in registered, name
    commands = re.findall(r'^python (tools/\S+)', PAGE, re.MULTILINE)
    assert commands and all((ROOT / command).is_file() for command in commands)
    for link in re.findall(r'\]\((?!https?://)([^)#]+)\)', PAGE):
        assert (ROOT / 'docs' / link).is_file()
