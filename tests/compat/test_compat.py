"""The stand-in for `mmcv._ext`, and mmengine's own training and resuming.

What depends on the state of the interpreter (which modules are loaded) runs in an interpreter of its own.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from interpreters import run_program

from densevit.compat import MissingOpError, MMCVExtStandIn, install_mmcv_ops
from densevit.compat.mmcv_ops import OPS

ROOT = Path(__file__).parents[1]


def run_python(code: str, *first_on_path: Path) -> str:
    """Output of `code` in an interpreter that has imported nothing but torch; its stderr is shown where it fails."""
    result = run_program(f'import sys\n{code}', path=[*first_on_path, *sys.path, ROOT])
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def fake_mmcv(folder: Path, ext: str | None) -> Path:
    """A package named mmcv, with `ext` as the source of its `_ext`, or without one."""
    package = folder / 'mmcv'
    package.mkdir()
    (package / '__init__.py').write_text('')
    if ext is not None:
        (package / '_ext.py').write_text(ext)
    return folder


def has_compiled_ops() -> bool:
    pytest.importorskip('mmcv')
    install_mmcv_ops()
    return not isinstance(sys.modules['mmcv._ext'], MMCVExtStandIn)


def test_it_stands_in_once_where_nothing_is_compiled():
    if has_compiled_ops():
        pytest.skip('mmcv is compiled here')
    stand_in = sys.modules['mmcv._ext']
    assert install_mmcv_ops() and install_mmcv_ops()
    assert sys.modules['mmcv._ext'] is stand_in
    assert all(getattr(stand_in, name) is function for name, function in OPS.items())


def test_a_compiled_extension_is_left_untouched(tmp_path):
    folder = fake_mmcv(tmp_path, 'def nms(): return "compiled"')
    code = """
from densevit.compat import install_mmcv_ops
print(install_mmcv_ops())
from mmcv import _ext
print(_ext.nms(), install_mmcv_ops(), hasattr(_ext, 'softnms'))
"""
    assert run_python(code, folder).split() == ['False', 'compiled', 'False', 'False']


ATTENTION = 'def multi_scale_deformable_attn_pytorch(): return "of mmcv"\n'


def fake_attention(folder: Path, ext: str | None) -> Path:
    """The fake mmcv with a module of deformable attention."""
    package = fake_mmcv(folder, ext) / 'mmcv' / 'ops'
    package.mkdir()
    (package / '__init__.py').write_text('from .multi_scale_deform_attn import multi_scale_deformable_attn_pytorch')
    (package / 'multi_scale_deform_attn.py').write_text(ATTENTION)
    return folder


def test_mmcvs_attention_on_a_cpu_is_replaced_before_anything_takes_its_name(tmp_path):
    code = """
import densevit, inspect
from mmcv.ops import multi_scale_deform_attn, multi_scale_deformable_attn_pytorch as function
print(function.__module__, multi_scale_deform_attn.replaced(), len(inspect.getsource(multi_scale_deform_attn)))
"""
    expected = ['densevit.compat.mmcv_ops.deformable_attention', 'of', 'mmcv', str(len(ATTENTION))]
    assert run_python(code, fake_attention(tmp_path, None)).split() == expected


def test_mmcvs_attention_stays_beside_a_compiled_extension(tmp_path):
    code = """
import densevit
from mmcv.ops import multi_scale_deform_attn
print(multi_scale_deform_attn.multi_scale_deformable_attn_pytorch(), hasattr(multi_scale_deform_attn, 'replaced'))
"""
    assert run_python(code, fake_attention(tmp_path, '')).split() == ['of', 'mmcv', 'False']


def test_an_extension_that_does_not_load_is_replaced_with_a_warning(tmp_path):
    folder = fake_mmcv(tmp_path, 'raise ImportError("undefined symbol: _ZN2at")')
    code = """
import warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter('always')
    from densevit.compat import install_mmcv_ops  # the package installs when it is imported
    print(install_mmcv_ops())
print(*(w.message for w in caught))
"""
    installed, message = run_python(code, folder).splitlines()
    assert installed == 'True' and 'undefined symbol: _ZN2at' in message and torch.__version__ in message


def test_without_mmcv_nothing_happens(tmp_path):
    code = """
import importlib.util
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == 'mmcv' else find_spec(name, *rest)
from densevit.compat import install_mmcv_ops
print(install_mmcv_ops(), 'mmcv' in sys.modules, 'mmcv._ext' in sys.modules)
"""
    assert run_python(code) == 'False False False'


def test_installing_imports_nothing_heavy():
    if has_compiled_ops():
        pytest.skip('a compiled extension is imported to see whether it loads')
    code = """
from densevit.compat import install_mmcv_ops
heavy = 'mmcv', 'mmseg', 'mmdet', 'torchvision', 'timm'
print(install_mmcv_ops(), [name for name in heavy if name in sys.modules])
"""
    assert run_python(code) == 'True []'


def test_it_helps_after_a_failed_import_of_the_operators():
    if has_compiled_ops():
        pytest.skip('the import succeeds here')
    code = """
try:
    import mmcv.ops
except ImportError:
    print('failed')
import torch
from densevit.compat import install_mmcv_ops
print(install_mmcv_ops())
from mmcv.ops import nms
print(len(nms(torch.tensor([[0., 0., 9., 9.]]), torch.tensor([.5]), .5)[1]))
"""
    assert run_python(code).splitlines() == ['failed', 'True', '1']


def test_models_imported_too_early_are_named(tmp_path):
    code = """
import warnings, types
sys.modules['mmseg.models'] = types.ModuleType('mmseg.models')
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter('always')
    from densevit.compat import install_mmcv_ops  # the package installs when it is imported
    install_mmcv_ops()
print(*(w.message for w in caught))
"""
    message = run_python(code, fake_mmcv(tmp_path, None))
    assert 'mmseg.models' in message and "custom_imports = dict(imports=['densevit'])" in message


def test_every_module_of_mmcv_ops_imports_and_reports_its_operators():
    pytest.importorskip('mmcv')
    install_mmcv_ops()
    import importlib
    import importlib.util
    import pkgutil

    import mmcv.ops

    for module in pkgutil.iter_modules(mmcv.ops.__path__):
        importlib.import_module(f'mmcv.ops.{module.name}')
    assert importlib.util.find_spec('mmcv._ext').loader is not None
    assert isinstance(mmcv.ops.get_compiler_version() + mmcv.ops.get_compiling_cuda_version(), str)
    if hasattr(pkgutil, 'find_loader'):  # mmcv uses it, and Python 3.14 has no more of it
        from mmcv.utils.ext_loader import check_ops_exist

        assert check_ops_exist()


def test_an_operator_without_a_pytorch_version_says_how_to_get_it():
    if has_compiled_ops():
        pytest.skip('mmcv is compiled here')
    import mmcv.ops

    boxes = torch.rand(2, 5)
    with pytest.raises(NotImplementedError, match="'box_iou_rotated'.*mim install.*MMCV_WITH_OPS=1") as error:
        mmcv.ops.box_iou_rotated(boxes, boxes)
    assert error.type is MissingOpError and torch.__version__ in str(error.value)


def test_the_stand_in_has_no_private_names():
    """Tools that walk over sys.modules ask for those and take any answer for a fact."""
    stand_in = MMCVExtStandIn()
    assert not any(hasattr(stand_in, name) for name in ('__file__', '__path__', '__wrapped__', '_private'))
    assert hasattr(stand_in, 'some_operator_of_a_later_version')


def test_mmengine_trains_and_resumes(tmp_path):
    pytest.importorskip('mmengine')
    code = f"""
import torch
from densevit.weights import safe_reading
real_load, seen = torch.load, []
def load(*args, weights_only=None, **kwargs):
    seen.append(weights_only)
    return real_load(*args, weights_only=weights_only, **kwargs)
torch.load = load

from mmengine.model import BaseModel
from mmengine.runner import Runner

class Line(BaseModel):
    def __init__(self):
        super().__init__()
        self.fit = torch.nn.Linear(1, 1)
    def forward(self, x, mode='tensor'):
        return dict(loss=(self.fit(x) - 2 * x).square().mean()) if mode == 'loss' else self.fit(x)

def runner(epochs, **kwargs):
    data = [dict(x=torch.tensor([float(i)])) for i in range(4)]
    return Runner(
        Line(), {str(tmp_path)!r}, train_dataloader=dict(
            dataset=data, batch_size=2, sampler=dict(type='DefaultSampler', shuffle=True),
            collate_fn=lambda batch: dict(x=torch.stack([b['x'] for b in batch]))),
        train_cfg=dict(by_epoch=True, max_epochs=epochs), optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)),
        param_scheduler=dict(type='LinearLR', start_factor=0.1, end=4), experiment_name=f'run{{epochs}}',
        default_hooks=dict(logger=dict(type='LoggerHook', interval=1)), log_level='ERROR', **kwargs)

runner(1).train()
again = runner(2, resume=True)
with safe_reading():
    again.train()
print(again.epoch, len(again.message_hub.get_scalar('train/loss').data[0]), any(w is False for w in seen), len(seen))
"""
    assert run_python(code).splitlines()[-1] == '2 4 False 1'
