"""What densevit does so that OpenMMLab runs from wheels alone, on a current PyTorch.

``mmcv.ops`` needs a compiled extension, ``mmcv._ext``, which no wheel on PyPI contains. ``install_mmcv_ops`` puts a
module of PyTorch and torchvision functions in its place, only where it is missing; mmcv's own PyTorch version of
deformable attention is then replaced as well.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Any

import torch

_EXT = 'mmcv._ext'
_ATTENTION = 'mmcv.ops.multi_scale_deform_attn'


class MissingOpError(NotImplementedError):
    """An mmcv operator was called that has neither a compiled version here nor a PyTorch one."""


class _StandInLoader(Loader):
    """The loader of the stand-in, which ``importlib.util.find_spec`` and mmcv's ``check_ops_exist`` ask for."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return MMCVExtStandIn()

    def exec_module(self, module: ModuleType) -> None:
        """Nothing is left to run: the module is complete when it is made."""


class MMCVExtStandIn(ModuleType):
    """A module with every operator that ``mmcv.ops`` may ask for at import.

    Those of ``densevit.compat.mmcv_ops`` work; any other raises ``MissingOpError`` when it is called, and not before,
    because ``mmcv.ops`` asserts at import that all of its operators exist.
    """

    def __init__(self) -> None:
        super().__init__(_EXT, 'PyTorch operators of densevit in place of the compiled extension of mmcv.')
        self.__spec__ = ModuleSpec(_EXT, _StandInLoader())
        self.__loader__ = self.__spec__.loader
        self.__package__ = 'mmcv'
        self.get_compiler_version = self.get_compiling_cuda_version = _not_compiled

    def __getattr__(self, name: str) -> Callable:
        if name.startswith('_'):
            raise AttributeError(f'module {_EXT!r} has no attribute {name!r}')
        from .mmcv_ops import OPS  # late: torchvision takes longer to import than all of densevit

        operator = OPS.get(name) or _missing_operator(name)
        setattr(self, name, operator)
        return operator


class _AttentionFinder(MetaPathFinder):
    """Finds the module in which mmcv keeps a PyTorch version of an operator, for tensors on the CPU."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name == _ATTENTION else None
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _AttentionLoader(spec.loader.name, spec.loader.path)
        return spec


class _AttentionLoader(SourceFileLoader):
    """Loads that module with densevit's version in place of mmcv's, which stays for comparisons as ``replaced``."""

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        from .mmcv_ops.deformable_attention import multi_scale_deformable_attn_pytorch

        module.replaced = module.multi_scale_deformable_attn_pytorch
        module.multi_scale_deformable_attn_pytorch = multi_scale_deformable_attn_pytorch


def _not_compiled() -> str:
    return 'n/a (PyTorch operators of densevit)'


def _missing_operator(name: str) -> Callable:
    def operator(*args: Any, **kwargs: Any) -> None:
        raise MissingOpError(
            f'mmcv operator {name!r} needs the compiled extension of mmcv, which is not installed, and densevit has no '
            f'PyTorch version of it. Install an mmcv compiled for torch {torch.__version__}: '
            '`pip install onedl-mim && mim install onedl-mmcv` (wheels at https://mmwheels.onedl.ai), or build it '
            'here: `MMCV_WITH_OPS=1 pip install --no-build-isolation --no-binary :all: --no-deps onedl-mmcv`.'
        )

    operator.__name__ = operator.__qualname__ = name
    return operator


def install_mmcv_ops() -> bool:
    """Register the stand-in as ``mmcv._ext`` unless a compiled one works; true if the stand-in serves ``mmcv.ops``.

    Call it before anything imports ``mmcv.ops``; calling it again changes nothing. Without mmcv it does nothing. After
    a failed import of ``mmcv.ops`` it still helps, for Python forgets the failure and the next import succeeds.
    """
    loaded = sys.modules.get(_EXT)
    if loaded is not None:
        return isinstance(loaded, MMCVExtStandIn)
    locations = _mmcv_locations()
    if not locations or _compiled_ext_works(locations):
        return False
    sys.modules[_EXT] = MMCVExtStandIn()
    sys.meta_path.insert(0, _AttentionFinder())
    _warn_of_early_imports()
    return True


def _mmcv_locations() -> list[str]:
    """The folders of the installed mmcv, found without importing it; none if there is no mmcv."""
    try:
        spec = importlib.util.find_spec('mmcv')
    except ValueError:  # a module without __spec__ under that name is not a package with a submodule to replace
        return []
    return list(spec.submodule_search_locations or []) if spec and spec.origin else []


def _compiled_ext_works(locations: list[str]) -> bool:
    if PathFinder.find_spec(_EXT, locations) is None:
        return False
    try:
        importlib.import_module(_EXT)
    except (ImportError, OSError) as error:
        warnings.warn(
            f'The compiled extension of mmcv does not load ({error}), most likely because it was built for another '
            f'torch than {torch.__version__}. The PyTorch operators of densevit take its place.',
            stacklevel=3,
        )
        return False
    return True


def _warn_of_early_imports() -> None:
    """mmseg and mmdet replace operators that they cannot import by None or an error; those stay."""
    early = [name for name in ('mmseg.models', 'mmdet.models', 'mmdet.structures') if name in sys.modules]
    if early:
        warnings.warn(
            f'{", ".join(early)} was imported without mmcv operators before densevit, and keeps going without. '
            "Import densevit first, in a config with `custom_imports = dict(imports=['densevit'])`.",
            stacklevel=3,
        )
