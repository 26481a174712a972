"""What is installed, and that OpenMMLab finds the configs in it."""
import configparser
import os
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path

import pytest
from interpreters import OF_RUNS, run_program
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from test_upstream_contacts import CONTACTS

from densevit.version import __version__

ROOT = Path(__file__).parents[1]
SOURCES = ('setup.cfg', 'pyproject.toml', 'MANIFEST.in', 'LICENSE', 'README.md', 'model-index.yml', 'densevit',
           'configs', 'tools', 'demo')
IN_WHEEL = ('configs/metafile.yml', 'configs/eomt_vitl_ade20k.py', 'configs/_base_/default_runtime.py',
            'configs/tiny/eomt_tiny_camvid.py', 'tools/train.py', 'demo/infer.py', 'model-index.yml')
# A user's config on top of one of ours. Importing densevit adds it to the packages whose configs mmengine looks for.
USE_AS_BASE = '''
import sys
from pathlib import Path
import densevit.registry
from mmengine.config import Config
from mmengine.infer import BaseInferencer
assert Path(densevit.__file__).parents[1].resolve() == Path(sys.argv[1]).resolve()
assert 'eomt_vits_ade20k' in BaseInferencer.list_models('densevit')
for name in ('tiny/eomt_tiny_camvid.py', 'eomt/eomt_vits_ade20k.py'):
    Path('user.py').write_text(f"_base_ = 'densevit::{name}'\\nmodel = dict(head=dict(num_queries=7))\\n")
    cfg = Config.fromfile('user.py')
    assert cfg.model.head.num_queries == 7 and cfg.train_dataloader.batch_size
'''
# mmengine builds what comes from such a base in the scope of its package.
BUILD = '''
from mmengine.registry import DefaultScope, DATASETS, METRICS, MODELS
cfg.merge_from_dict({
    'model.backbone.pretrained': False, 'model.backbone.embed_dim': 32, 'model.backbone.depth': 3,
    'model.backbone.num_heads': 2, 'train_dataloader.dataset.lazy_init': True})
with DefaultScope.overwrite_default_scope(cfg.default_scope):
    assert MODELS.build(cfg.model).network.num_queries == 7
    assert METRICS.build(cfg.val_evaluator)
    assert len(DATASETS.build(cfg.train_dataloader.dataset).pipeline.transforms) > 5
'''


def _python(*args: str, cwd: Path, path: Path) -> str:
    env = {**os.environ, 'PYTHONPATH': str(path)}
    done = subprocess.run([sys.executable, *args], cwd=cwd, env=env, capture_output=True, text=True, timeout=300)
    assert not done.returncode, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope='module')
def wheel(tmp_path_factory) -> Path:
    """A wheel built from a copy, so that nothing is left in the checkout."""
    for tool, least in (('pip', 21), ('setuptools', 77)):
        try:
            found = version(tool)
        except PackageNotFoundError:
            pytest.skip(f'building a wheel needs {tool}')
        if int(found.split('.')[0]) < least:
            pytest.skip(f'building a wheel needs {tool} {least}, not {found}')
    source = tmp_path_factory.mktemp('source')
    for name in SOURCES:
        path = ROOT / name
        if path.is_dir():
            shutil.copytree(path, source / name, symlinks=True)
        elif path.is_file():
            shutil.copy(path, source / name)
    out = tmp_path_factory.mktemp('wheel')
    # The isolated build of `pip install .` has no torch.
    (out / 'torch.py').write_text("raise ImportError('the build imports the package')")
    _python('-m', 'pip', 'wheel', '--no-deps', '--no-build-isolation', '-w', str(out), str(source), cwd=out, path=out)
    return next(out.glob('*.whl'))


def test_wheel__has_what_openmmlab_looks_for(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f'densevit/.mim/{name}' for name in IN_WHEEL} <= names
    configs = {path.relative_to(ROOT).as_posix() for path in (ROOT / 'configs').rglob('*.py')}
    assert {f'densevit/.mim/{name}' for name in configs} <= names
    assert 'densevit/weights/zoo.yml' in names
    bundled = {path.name for path in (ROOT / 'densevit/weights/bundled').glob('*') if path.is_file()}
    assert {f'densevit/weights/bundled/{name}' for name in bundled} <= names


def test_wheel__is_one_package(wheel):
    archive = zipfile.ZipFile(wheel)
    tops = {name.split('/')[0] for name in archive.namelist()}
    assert tops == {'densevit', f'{wheel.name.removesuffix("-py3-none-any.whl")}.dist-info'}
    assert not [name for name in archive.namelist() if name.endswith('.pyc')]
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / 'densevit').rglob('*.py')}
    assert modules <= set(archive.namelist())


def test_wheel__has_the_version(wheel):
    assert wheel.name.split('-')[1] == __version__


def _requirements(section: str, key: str) -> dict[str, Requirement]:
    config = configparser.ConfigParser()  # an extra may hold another: %(fast)s
    config.read(ROOT / 'setup.cfg')
    lines = config[section][key].splitlines()
    found = [Requirement(line) for line in lines if line.strip() and not line.startswith('#')]
    return {canonicalize_name(requirement.name): requirement for requirement in found}


def test_requirements__hold_what_these_tests_run_with():
    """And of what is used beyond its documentation no version that was never seen is installed unasked."""
    required = _requirements('options', 'install_requires')
    tested = required | _requirements('options.extras_require', 'test')
    wrong = [f'{requirement}, but {version(name)} is installed' for name, requirement in tested.items()
             if not requirement.specifier.contains(version(name), prereleases=True)]
    assert not wrong, '\n'.join(wrong)
    packages = {contact.name.split('.')[0] for contact in CONTACTS}
    names = {name for package in packages for name in map(canonicalize_name, packages_distributions()[package])}
    bounded = {name for name, requirement in required.items()
               if any(each.operator in ('<', '<=', '==') for each in requirement.specifier)}
    assert not names - bounded, 'without an upper bound'


def _use(code: str, package: Path, cwd: Path) -> None:
    done = run_program(code, str(package), path=[package, *sys.path], imported=OF_RUNS, cwd=cwd)
    assert not done.returncode, done.stdout + done.stderr


def test_base__installed(wheel, tmp_path):
    site = tmp_path / 'site'
    zipfile.ZipFile(wheel).extractall(site)
    _use(USE_AS_BASE + BUILD, site, tmp_path)


def test_base__checkout(tmp_path):
    _use(USE_AS_BASE, ROOT, tmp_path)
