"""The floors of the package and the walls between its tasks: each rule lists all that break it."""
from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / 'densevit'
# Bottom to top. A module imports from its own floor and from lower ones; a name for an annotation may be from above.
FLOORS = ('version', 'files', 'errors', 'pickles', 'images', 'layers', 'compat', 'registry', 'backbones', 'adapters',
          'networks', 'weights', 'models', 'datasets', 'evaluation', 'engine', 'visualization', 'inference',
          'benchmarks', 'commands', 'run', '__main__')
# Networks are plain PyTorch: they run without OpenMMLab.
PLAIN = ('layers', 'backbones', 'adapters', 'networks')
PLAIN_MAY_IMPORT = {'densevit', 'numpy', 'scipy', 'timm', 'torch', 'torchvision', *sys.stdlib_module_names}
# A task is a folder in each of these, and a file of inference/tasks.
ROOMS_OF_TASKS = ('networks', 'models', 'datasets', 'inference/tasks')
SHARED = {'common'}  # folders there that belong to all tasks
# Where all tasks come together: what is registered, what a package gives out, and the list of tasks that are predicted.
KNOW_ALL_TASKS = ('densevit/models/registration.py', 'densevit/models/__init__.py', 'densevit/datasets/__init__.py',
                  'densevit/inference/tasks/__init__.py')

MODULES = sorted(path for path in PACKAGE.rglob('*.py') if '.mim' not in path.parts)


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _floor(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix('.py')


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def _nodes(tree: ast.AST, lazily: bool) -> Iterator[ast.AST]:
    """Nodes that are run at import, or lazily as well; those under ``if TYPE_CHECKING`` never are."""
    for node in ast.iter_child_nodes(tree):
        typing_only = isinstance(node, ast.If) and 'TYPE_CHECKING' in ast.unparse(node.test)
        if not typing_only and (lazily or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)):
            yield node
            yield from _nodes(node, lazily)


def _imports(path: Path, lazily: bool = True) -> Iterator[tuple[str, str]]:
    """Place and absolute name of what is imported, each name of ``from package import name`` with its package."""
    package = path.relative_to(ROOT).with_suffix('').parts[:-1]
    for node in _nodes(_tree(path), lazily):
        if isinstance(node, ast.Import):
            yield from ((f'{_name(path)}:{node.lineno}', alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = '.'.join(package[:len(package) - node.level + 1]) if node.level else ''
            module = '.'.join(filter(None, (base, node.module)))
            yield from ((f'{_name(path)}:{node.lineno}', f'{module}.{alias.name}') for alias in node.names)


def _defined_in(name: str) -> str:
    """The module of ``package.Name``, which a package may have from one of its own."""
    module, _, attribute = name.rpartition('.')
    try:
        defined = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError):
        return name
    return getattr(defined, '__module__', None) or getattr(defined, '__name__', name)


def _none(offenders: list[str], rule: str) -> None:
    assert not offenders, '\n'.join([f'{len(offenders)} break the rule: {rule}', *offenders])


def test_imports_go_down():
    homeless = [_name(path) for path in MODULES if _floor(path) not in (*FLOORS, '__init__')]
    _none(homeless, 'each module is on a floor: add it to FLOORS and to docs/architecture.md')
    offenders = []
    for path in MODULES:
        if path == PACKAGE / '__init__.py':
            continue  # the front door: it gives out names from every floor
        for place, name in _imports(path):
            other = name.split('.')[1] if name.startswith('densevit.') else None
            if other in FLOORS and FLOORS.index(other) > FLOORS.index(_floor(path)):
                offenders.append(f'{place} imports {name}')
    _none(offenders, 'an import goes down')


def test_networks_are_plain_pytorch():
    _none([
        f'{place} imports {name}' for path in MODULES if _floor(path) in PLAIN for place, name in _imports(path)
        if name.split('.')[0] not in PLAIN_MAY_IMPORT or name.startswith(('densevit.registry', 'densevit.compat'))
    ], f'{", ".join(PLAIN)} import torch, torchvision, timm, numpy and scipy')


def test_what_serves_all_tasks_imports_none():
    tasks = [f'densevit.{room.replace("/", ".")}.{path.stem}' for room in ROOMS_OF_TASKS
             for path in (PACKAGE / room).glob('*')
             if path.stem not in SHARED and not path.stem.startswith(('_', '.'))
             and ((path / '__init__.py').is_file() or room == 'inference/tasks')]
    assert {'densevit.networks.segmentation', 'densevit.models.segmentation'} <= set(tasks)
    inside = tuple(name.replace('.', '/') for name in tasks)  # e.g. densevit/models/segmentation
    offenders = []
    for path in MODULES:
        name = _name(path)
        if (name.startswith(('densevit/weights/names', *inside)) or name in KNOW_ALL_TASKS
                or _floor(path) not in ('networks', 'weights', 'models', 'datasets', 'engine', 'inference')):
            continue
        offenders += [
            f'{place} imports {imported}' for place, imported in _imports(path) if imported.startswith('densevit.')
            and any(f'{found}.'.startswith(f'{task}.') for task in tasks for found in (imported, _defined_in(imported)))
        ]
    _none(offenders, 'what serves all tasks imports none: what differs between tasks is in their own folders')


def test_nobody_reaches_into_a_plain_vit():
    own = ('self', 'subject', 'report')  # attributes of that name of one's own
    _none([
        f'{_name(path)}:{node.lineno} {ast.unparse(node)}' for path in MODULES
        if _floor(path) not in ('backbones', 'weights') for node in ast.walk(_tree(path))
        if isinstance(node, ast.Attribute) and node.attr in ('trunk', 'driver') and ast.unparse(node.value) not in own
    ], 'PlainViT has a property for what others want of its trunk and driver')


def test_mmdet_and_mmseg_are_imported_when_used():
    """Seconds that one task need not wait for: mmdet in rooms of detection, mmseg in rooms of segmentation."""
    rooms = {'mmdet': 'detection', 'mmseg': 'segmentation'}
    offenders = []
    for path in MODULES:
        for place, name in _imports(path, lazily=False):
            room = rooms.get(name.split('.')[0])
            if room and room not in (*path.relative_to(PACKAGE).parts, path.stem):
                offenders.append(f'{place} imports {name}')
    _none(offenders, 'mmdet and mmseg are imported in functions, or in files of their own task')


def test_product_code_names_no_test_data():
    files = [*MODULES, *(path for folder in ('tools', 'demo', 'configs') for path in (ROOT / folder).rglob('*.py'))]
    _none([
        f'{_name(path)}:{number} {line.strip()}' for path in files
        for number, line in enumerate(path.read_text().splitlines(), 1) if 'TEST_DATA' in line or '../shared' in line
    ], 'where tests find their data is said in tests/ and in CONTRIBUTING.md')
