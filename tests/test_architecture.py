"""The floors of the package: an import goes down, never up; and files and functions stay small."""
import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / 'densevit'
# Bottom to top. A module imports from its own floor and from lower ones; a name for an annotation may be from above.
FLOORS = ('version', 'files', 'errors', 'pickles', 'images', 'layers', 'compat', 'registry', 'backbones', 'adapters',
          'networks', 'weights', 'models', 'datasets', 'evaluation', 'engine', 'visualization', 'inference',
          'benchmarks', 'commands', 'run', '__main__')
# Networks are plain PyTorch: they run without OpenMMLab.
PLAIN = ('layers', 'backbones', 'adapters', 'networks')
PLAIN_MAY_IMPORT = {'densevit', 'numpy', 'scipy', 'timm', 'torch', 'torchvision', *sys.stdlib_module_names}

MODULES = sorted(path for path in PACKAGE.rglob('*.py') if '.mim' not in path.parts)
SOURCES = [*MODULES, *sorted(path for folder in ('tools', 'demo', 'tests') for path in (ROOT / folder).rglob('*.py'))]


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _floor(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix('.py')


def _imports(path: Path, nodes: Iterator[ast.AST]) -> Iterator[tuple[int, str]]:
    """Line and absolute name of what is imported, each name of ``from package import name`` with its package."""
    package = path.relative_to(ROOT).with_suffix('').parts[:-1]
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = '.'.join(package[:len(package) - node.level + 1]) if node.level else ''
            module = '.'.join(filter(None, (base, node.module)))
            yield from ((node.lineno, f'{module}.{alias.name}') for alias in node.names)


def _executed(tree: ast.AST, lazily: bool) -> Iterator[ast.AST]:
    """Nodes that are run at import, or lazily as well; those under ``if TYPE_CHECKING`` never are."""
    for node in ast.iter_child_nodes(tree):
        typing_only = isinstance(node, ast.If) and 'TYPE_CHECKING' in ast.unparse(node.test)
        if not typing_only and (lazily or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)):
            yield node
            yield from _executed(node, lazily)


@pytest.mark.parametrize('path', MODULES, ids=_name)
def test_imports__go_down(path):
    if path == PACKAGE / '__init__.py':
        return  # the front door: it gives out names from every floor
    floor = _floor(path)
    assert floor in FLOORS, f'{_name(path)} is on no floor: add it to FLOORS and to docs/architecture.md'
    for line, name in _imports(path, _executed(ast.parse(path.read_text()), lazily=True)):
        if name.startswith('densevit.') and (other := name.split('.')[1]) in FLOORS:
            assert FLOORS.index(other) <= FLOORS.index(floor), f'{_name(path)}:{line} imports {name}, a floor above'


@pytest.mark.parametrize('path', [path for path in MODULES if _floor(path) in PLAIN], ids=_name)
def test_imports__networks_are_plain_pytorch(path):
    for line, name in _imports(path, ast.walk(ast.parse(path.read_text()))):
        assert name.split('.')[0] in PLAIN_MAY_IMPORT, f'{_name(path)}:{line} imports {name}'
        assert not name.startswith(('densevit.registry', 'densevit.compat')), f'{_name(path)}:{line} imports {name}'


@pytest.mark.parametrize('path', MODULES, ids=_name)
def test_imports__mmdet_only_when_used(path):
    for line, name in _imports(path, _executed(ast.parse(path.read_text()), lazily=False)):
        assert name.split('.')[0] != 'mmdet', f'{_name(path)}:{line}: segmentation should not pay for detection'


def test_floors__are_found_where_they_should_be():
    """The checks above look at what is there; this one sees to it that something is."""
    found = {_floor(path) for path in MODULES}
    assert {'layers', 'backbones', 'networks', 'models', 'engine', 'datasets', 'weights'} <= found
