"""From a training checkpoint to a small file with a model card."""
from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from ..files import write_atomic
from .load_report import WeightsError
from .lora import merge_adapters
from .reading import State, read_checkpoint, unwrap
from .zoo import BUNDLED, entry, file_sha256

# What a training has beside the model that predicts.
_NOT_PUBLISHED = ('classifier.', 'criterion.', 'data_preprocessor.', 'discriminator.', 'perceptual.')
_MAX_POINTS = 60  # of the loss curve in a card
# Metrics that the curve of a card keeps, with what brings them to [0, 1].
_CURVES = {r'mIoU|(.+/)?(PQ|SQ|RQ|AP(50|75|_s|_m|_l)?)': .01, r'(.+/)?(bbox|segm)_mAP(_50|_75|_s|_m|_l)?': 1.,
           r'(.+/)?(delta1|AbsRel)': 1., r'(.+/)?((hole_)?PSNR|SSIM)': 1.,
           r'(.+/)?(SAD|MSE|Grad|Conn)': 1.}
_UNBOUNDED = re.compile(r'(.+[/_])?(PSNR|SAD|MSE|Grad|Conn)')  # decibels, and the sums of matting


def publish_weights(
    checkpoint: str | os.PathLike,
    name: str,
    metrics: Mapping[str, float],
    *,
    data: str = '',
    terms: str = '',
    command: str = '',
    scalars: str | os.PathLike | None = None,
    folder: Path | None = None,
) -> tuple[Path, Path]:
    """Write a model's weights in half precision and its card; adapters (LoRA) are merged into the weights.

    Args:
        checkpoint: A checkpoint that mmengine's runner wrote; its averaged weights are taken if it has any.
        name: The model's name in the zoo.
        metrics: What it reaches on the test data, in [0, 1]; PSNR in decibels, errors of matting in theirs.
        data: What it was trained on.
        terms: Under which terms the data are given.
        command: How to train it again.
        scalars: The run's ``vis_data/scalars.json``; the card keeps its curve.
        folder: The package's folder of weights when omitted.

    Returns:
        The weights and the card.

    Raises:
        WeightsError: The checkpoint cannot be read, or a weight does not fit into half precision.
        ValueError: No such name in the zoo, or a metric outside [0, 1].
    """
    if wrong := {key: value for key, value in metrics.items()
                 if not (0 <= value <= 1 or (_UNBOUNDED.fullmatch(key) and value > 0))}:
        raise ValueError(f'metrics are given in [0, 1], not {wrong}; divide percentages by 100')
    item = entry(name)
    content = read_checkpoint(checkpoint)
    state = half_precision({key: tensor for key, tensor in merge_adapters(unwrap(content, str(checkpoint))).items()
                            if not key.startswith(_NOT_PUBLISHED)})
    meta = content.get('meta') or {}
    folder = BUNDLED if folder is None else folder
    weights, card_file = folder / f'{name}.safetensors', folder / f'{name}.json'
    write_atomic(save(state, metadata=_header(meta)), weights)
    card = dict(
        name=item.name, task=item.task, config=f'configs/{item.config}', license=item.license, data=data, terms=terms,
        command=command or f'python tools/train.py configs/{item.config}', iterations=meta.get('iter'),
        metrics=dict(metrics), parameters=sum(t.numel() for t in state.values()), bytes=weights.stat().st_size,
        sha256=file_sha256(weights), curve=[] if scalars is None else read_curve(Path(scalars)))
    write_atomic((json.dumps(card, indent=1) + '\n').encode(), card_file)
    return weights, card_file


def half_precision(state: State) -> State:
    """Matrices and kernels as fp16; vectors (norms, biases, running statistics) keep fp32, for they cost nothing.

    Raises:
        WeightsError: A value is not finite or leaves fp16's range.
    """
    return {name: _halve(name, tensor) for name, tensor in state.items()}


def read_curve(scalars: Path) -> list[dict[str, float]]:
    """Loss and validation metrics in [0, 1] by step, thinned out, of what mmengine's ``LocalVisBackend`` writes.

    PSNR is in decibels. Metrics keep the names under which they were logged (``mIoU``, ``coco/segm_mAP`` ...). Those
    that do not exist for the data, such as the AP of large objects where there are none, are left out.
    """
    losses, metrics = [], []
    for line in scalars.read_text(encoding='utf-8').splitlines():
        record = json.loads(line)
        if 'loss' in record:
            losses.append(dict(step=record['step'], loss=round(record['loss'], 4)))
        elif found := {name: value for name, value in map(_share, record.items()) if value is not None}:
            metrics.append(dict(step=record['step'], **found))
    stride = max(1, -(-len(losses) // _MAX_POINTS))
    return sorted([*losses[::stride], *metrics], key=lambda point: point['step'])


def _share(logged: tuple[str, float]) -> tuple[str, float | None]:
    """A logged metric in [0, 1]; None for one that is not kept, or that does not exist for the data."""
    name, value = logged
    scale = next((scale for pattern, scale in _CURVES.items() if re.fullmatch(pattern, name)), None)
    return name, None if scale is None or not value >= 0 else round(value * scale, 4)


def _halve(name: str, tensor: Tensor) -> Tensor:
    if not tensor.is_floating_point():
        return tensor.clone()
    if not tensor.isfinite().all():
        raise WeightsError(f'{name} holds values that are not finite; publish an earlier checkpoint')
    if tensor.dim() < 2:
        return tensor.float().contiguous().clone()
    half = tensor.to(torch.float16)
    if not half.isfinite().all():
        raise WeightsError(f'{name} holds {float(tensor.abs().max()):.3g}, which fp16 cannot hold (65504 at most)')
    return half.contiguous().clone()


def _header(meta: Mapping[str, Any]) -> dict[str, str]:
    """Class names and colours as JSON text, which is what a safetensors header takes."""
    dataset = {str(key).lower(): value for key, value in (meta.get('dataset_meta') or {}).items()}
    kept = {key: dataset[key] for key in ('classes', 'palette') if dataset.get(key) is not None}
    return dict(format='pt', dataset_meta=json.dumps(kept, default=list))
