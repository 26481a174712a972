"""From a name or a config to a model that predicts."""
from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from torch import nn

from .. import weights as weights_module
from ..errors import DoubtfulResultWarning
from ..models import check_model
from ..models.pretraining import without_pretraining
from ..registry import config_file, quiet_imports, read_config
from ..visualization.palette import Color
from ..weights import WeightsNotFoundError, zoo
from .metadata import DatasetMeta, config_meta, dataset_meta
from .pipeline import in_scope
from .predictor import Predictor
from .tasks import TASKS, tasks_of

_CONFIG_SUFFIXES = ('.py', '.json', '.yaml', '.yml')


class UnknownModelError(ValueError):
    """No model or config of this name; the message names what is near and what there is."""


class RandomWeightsError(RuntimeError):
    """No weights: what random weights predict looks like results and means nothing."""


def load(
    name_or_config: str | os.PathLike | Config,
    weights: str | os.PathLike | None = None,
    device: str | torch.device = 'auto',
    *,
    base: str | os.PathLike | None = None,
    classes: Sequence[str] | None = None,
    palette: Sequence[Color] | None = None,
    allow_random: bool = False,
    dtype: str | torch.dtype = 'float32',
    **options: Any,
) -> Predictor:
    """A predictor for a model of the zoo, or for a config with weights.

    Class names and colours come from the arguments, else from the checkpoint, else from the config's dataset.

    Args:
        name_or_config: A name of the zoo (``'eomt_tiny_camvid'``), a config file, its name as in ``_base_``
            (``'densevit::tiny/eomt_tiny_camvid.py'``), or a config. A config is code: take it from where you trust it.
            Or a checkpoint that another package reads, ``'spandrel:FILE'``: networks of restoration that spandrel
            knows.
        weights: A checkpoint file; for a name of the zoo, in place of the known one.
        device: A device of PyTorch, or ``'auto'``: the GPU if there is one.
        base: The weights that a checkpoint of differences refers to (EoMT-DINOv3); for a name of the zoo they are
            looked for on the hub otherwise.
        allow_random: Build the model even if there are no weights for it, with a ``DoubtfulResultWarning``.
        dtype: The type of the parameters, in which the model computes: ``'float32'``, ``'bfloat16'``, ``'float16'``, or
            PyTorch's.
        options: Options of `Predictor.predict` for calls that do not have them: ``max_pixels``, ``min_score`` ...

    Raises:
        UnknownModelError: No such name or config file.
        RandomWeightsError: No weights are given or found, and ``allow_random`` is False.
        ValueError: No such device or dtype, or a config that is broken or has no model or test pipeline.
        Exception: What `densevit.weights.load_weights` raises for a checkpoint that does not fit.
    """
    device, dtype = pick_device(device), pick_dtype(dtype)
    has_weights = (cfg := _of_scheme(name_or_config)) is not None
    checkpoint = None
    if not has_weights:
        cfg, checkpoint, base = _resolve(name_or_config, weights, base, allow_random)
    notes = []
    if checkpoint is None and not has_weights:
        notes.append(f'{_name(name_or_config)}: the weights are random, so the results mean nothing; give a checkpoint '
                     'with weights= (--weights)')
        warnings.warn(notes[0], DoubtfulResultWarning, stacklevel=2)
    with quiet_imports():
        model = build_model(cfg)
        check_model(model)
        meta = DatasetMeta(None, None)
        if checkpoint is not None:
            meta = dataset_meta(weights_module.load_weights(model, checkpoint, base=base).meta)
        for name, part in model.named_children():
            if name != 'data_preprocessor':  # a mean of 123.675 would be 123.5
                part.to(dtype)
        meta = DatasetMeta(classes, palette).completed_by(meta).completed_by(config_meta(cfg))
        if meta.classes is None and all(task.needs_classes for task in tasks_of(model)):
            raise ValueError('neither the checkpoint nor the config names the classes; give classes=[...]')
        return Predictor(model, cfg, classes=meta.classes, palette=meta.palette, device=device, notes=notes, **options)


def _of_scheme(name: str | os.PathLike | Config) -> Config | None:
    """The config, with its weights, of ``'scheme:FILE'``; None where a task knows no such scheme.

    Raises:
        WeightsNotFoundError: There is no such file.
    """
    scheme, _, file = name.partition(':') if isinstance(name, str) else ('', '', '')
    makers = {scheme: maker for task in TASKS for scheme, maker in task.schemes.items()}
    if scheme not in makers:
        return None
    if not file:
        raise WeightsNotFoundError(f'{name} names no checkpoint; give its file, {scheme}:FILE')
    if not (path := Path(file).expanduser()).is_file():
        raise WeightsNotFoundError(f'{path}: no such checkpoint; check the path')
    return makers[scheme](str(path))


def build_model(cfg: Config) -> nn.Module:
    """The config's model with random weights; nothing is downloaded, because a checkpoint will fill it.

    Raises:
        ValueError: The config has no model.
    """
    if 'model' not in cfg:
        raise ValueError('the config has no model; give the config of a model, not one of its parts')
    model = without_pretraining(cfg.model)
    with in_scope(cfg), weights_module.safe_reading():
        return MODELS.build(model)


def pick_device(device: str | torch.device) -> torch.device:
    """The device of that name, which exists.

    Raises:
        ValueError: PyTorch knows no such device or cannot use it here.
    """
    if device == 'auto':
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        device = torch.device(device)
        torch.empty(0, device=device)
    except Exception as error:  # RuntimeError, AssertionError or NotImplementedError, as the backend likes
        raise ValueError(f'device {str(device)!r} cannot be used here; choose auto, cpu'
                         + (', cuda' if torch.cuda.is_available() else '')) from error
    return device


def pick_dtype(dtype: str | torch.dtype) -> torch.dtype:
    """The type of that name in which a model can compute.

    Raises:
        ValueError: There is none.
    """
    picked = getattr(torch, dtype.removeprefix('torch.'), None) if isinstance(dtype, str) else dtype
    if not isinstance(picked, torch.dtype) or not picked.is_floating_point:
        raise ValueError(f'dtype {str(dtype)!r}: choose float32, bfloat16 or float16')
    return picked


def _resolve(
    name_or_config: str | os.PathLike | Config,
    weights: str | os.PathLike | None,
    base: str | os.PathLike | None,
    allow_random: bool,
) -> tuple[Config, Path | None, str | os.PathLike | None]:
    """The config, the checkpoint (None for random weights) and the weights that the checkpoint is a difference to."""
    if isinstance(name_or_config, Config):
        return name_or_config, _given_weights(weights, allow_random), base
    if _is_config_file(name_or_config):
        try:
            path = config_file(name_or_config).expanduser()
        except FileNotFoundError as error:
            raise UnknownModelError(str(error)) from error
        if not path.is_file():
            raise UnknownModelError(f'{path}: no such config file; check the path')
        return read_config(path), _given_weights(weights, allow_random), base
    return _resolve_zoo(os.fspath(name_or_config), weights, base, allow_random)


def _is_config_file(name: str | os.PathLike) -> bool:
    return (isinstance(name, os.PathLike) or '/' in name or os.sep in name or '::' in name
            or name.endswith(_CONFIG_SUFFIXES))


def _name(name_or_config: str | os.PathLike | Config) -> str:
    if isinstance(name_or_config, Config):
        return str(name_or_config.filename or 'the config')
    return os.fspath(name_or_config)


def _given_weights(weights: str | os.PathLike | None, allow_random: bool) -> Path | None:
    if weights is None:
        if not allow_random:
            raise RandomWeightsError('a config alone has random weights; give a checkpoint with weights= (--weights), '
                                     'or allow_random=True (--allow-random)')
        return None
    path = Path(weights).expanduser()
    if not path.exists():
        raise WeightsNotFoundError(f'{path}: no such checkpoint; check the path')
    return path


def _resolve_zoo(
    name: str,
    weights: str | os.PathLike | None,
    base: str | os.PathLike | None,
    allow_random: bool,
) -> tuple[Config, Path | None, str | os.PathLike | None]:
    try:
        entry = zoo.entry(name)
    except ValueError as error:
        raise UnknownModelError(f'{error}; or give a config file and weights') from error
    cfg = read_config(config_file(f'densevit::{entry.config}'))
    if weights is not None:  # of whatever origin, so that only the caller knows of a base
        return cfg, _given_weights(weights, allow_random), base
    try:
        return cfg, zoo.find_weights(entry), zoo.find_base(entry, base)
    except FileNotFoundError as error:
        if allow_random:
            return cfg, None, None
        # The error says what to do; what is left is to do without.
        raise RandomWeightsError(f'{error}; or go on without weights: allow_random=True (--allow-random)') from error
