"""The models known by name: their configs and where their weights are."""
from __future__ import annotations

import difflib
import hashlib
import json
import os
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import constants, hf_hub_download

from .load_report import WeightsError, WeightsNotFoundError
from .reading import local_file

PACKAGE = Path(__file__).parents[1]
BUNDLED = Path(__file__).parent / 'bundled'


@dataclass(frozen=True)
class ZooEntry:
    """A known model.

    Attributes:
        name: As in ``densevit.load(name)``.
        config: Path below ``configs/``.
        file: Name of the weights in the package or in the repository; or their URL.
        task: ``'semantic'``, ``'instance'`` or ``'panoptic'``.
        license: Terms of the weights.
        repo_id: Repository on huggingface.co, if they are there.
        base_repo_id: Repository of the backbone that the weights are differences to.
    """
    name: str
    config: str
    file: str
    task: str
    license: str
    repo_id: str | None = None
    base_repo_id: str | None = None

    @property
    def is_bundled(self) -> bool:
        """Whether its weights are in the package."""
        return self.repo_id is None and not self.file.startswith('https://')


def _authors(name: str, task: str, repo: str, dinov3: str | None = None) -> ZooEntry:
    """A model of EoMT's authors; those with DINOv3 are differences to Meta's weights, whose licence they are under."""
    base = None if dinov3 is None else f'facebook/dinov3-{dinov3}-pretrain-lvd1689m'
    return ZooEntry(name, f'eomt/{name}.py', 'pytorch_model.bin', task, 'MIT' if base is None else 'DINOv3 License',
                    f'tue-mps/{repo}', base)


def _detectron2(config: str, task: str, file: str) -> ZooEntry:
    """A model of Mask2Former's and MaskFormer's authors."""
    url = f'https://dl.fbaipublicfiles.com/maskformer/{file}'
    return ZooEntry(config.rpartition('/')[2], f'{config}.py', url, task, 'CC-BY-NC-4.0')


_ENTRIES = {item.name: item for item in (
    ZooEntry('eomt_tiny_animals', 'tiny/eomt_tiny_animals.py', 'eomt_tiny_animals.safetensors', 'semantic',
             'Apache-2.0'),
    ZooEntry('eomt_tiny_camvid', 'tiny/eomt_tiny_camvid.py', 'eomt_tiny_camvid.safetensors', 'semantic', 'Apache-2.0'),
    ZooEntry('eomt_tiny_nuclei', 'tiny/eomt_tiny_nuclei.py', 'eomt_tiny_nuclei.safetensors', 'instance', 'Apache-2.0'),
    # github.com/tue-mps/eomt, model_zoo/dinov2.md and dinov3.md
    _authors('eomt_vitl_ade20k', 'semantic', 'ade20k_semantic_eomt_large_512'),
    _authors('eomt_vitl_cityscapes', 'semantic', 'cityscapes_semantic_eomt_large_1024'),
    _authors('eomt_vitl_dinov3_ade20k', 'semantic', 'ade_semantic_eomt_large_512_dinov3', 'vitl16'),
    _authors('eomt_vits_coco_panoptic_640_2x', 'panoptic', 'coco_panoptic_eomt_small_640_2x'),
    _authors('eomt_vitb_coco_panoptic_640_2x', 'panoptic', 'coco_panoptic_eomt_base_640_2x'),
    _authors('eomt_vitl_coco_panoptic_640', 'panoptic', 'coco_panoptic_eomt_large_640'),
    _authors('eomt_vitg_coco_panoptic_640', 'panoptic', 'coco_panoptic_eomt_giant_640'),
    _authors('eomt_vitl_coco_panoptic_1280', 'panoptic', 'coco_panoptic_eomt_large_1280'),
    _authors('eomt_vitg_coco_panoptic_1280', 'panoptic', 'coco_panoptic_eomt_giant_1280'),
    _authors('eomt_vitl_ade20k_panoptic_640', 'panoptic', 'ade20k_panoptic_eomt_large_640'),
    _authors('eomt_vitg_ade20k_panoptic_640', 'panoptic', 'ade20k_panoptic_eomt_giant_640'),
    _authors('eomt_vitl_ade20k_panoptic_1280', 'panoptic', 'ade20k_panoptic_eomt_large_1280'),
    _authors('eomt_vitg_ade20k_panoptic_1280', 'panoptic', 'ade20k_panoptic_eomt_giant_1280'),
    _authors('eomt_vitl_coco_instance_640', 'instance', 'coco_instance_eomt_large_640'),
    _authors('eomt_vitl_coco_instance_1280', 'instance', 'coco_instance_eomt_large_1280'),
    _authors('eomt_vits_dinov3_coco_panoptic_640_2x', 'panoptic', 'coco_panoptic_eomt_small_640_dinov3', 'vits16'),
    _authors('eomt_vitb_dinov3_coco_panoptic_640_2x', 'panoptic', 'coco_panoptic_eomt_base_640_dinov3', 'vitb16'),
    _authors('eomt_vitl_dinov3_coco_panoptic_640', 'panoptic', 'coco_panoptic_eomt_large_640_dinov3', 'vitl16'),
    _authors('eomt_vitl_dinov3_coco_panoptic_1280', 'panoptic', 'coco_panoptic_eomt_large_1280_dinov3', 'vitl16'),
    _authors('eomt_vitl_dinov3_coco_instance_640', 'instance', 'coco_instance_eomt_large_640_dinov3', 'vitl16'),
    _authors('eomt_vitl_dinov3_coco_instance_1280', 'instance', 'coco_instance_eomt_large_1280_dinov3', 'vitl16'),
    # github.com/facebookresearch/Mask2Former and MaskFormer, MODEL_ZOO.md
    _detectron2('mask2former/mask2former_swin_t_ade20k', 'semantic',
                'mask2former/ade20k/semantic/maskformer2_swin_tiny_bs16_160k/model_final_5274a6.pkl'),
    _detectron2('mask2former/mask2former_swin_t_coco_panoptic', 'panoptic',
                'mask2former/coco/panoptic/maskformer2_swin_tiny_bs16_50ep/model_final_9fd0ae.pkl'),
    _detectron2('mask2former/mask2former_swin_t_coco_instance', 'instance',
                'mask2former/coco/instance/maskformer2_swin_tiny_bs16_50ep/model_final_86143f.pkl'),
    _detectron2('mask2former/mask2former_swin_s_ade20k', 'semantic',
                'mask2former/ade20k/semantic/maskformer2_swin_small_bs16_160k/model_final_011c6d.pkl'),
    _detectron2('mask2former/mask2former_swin_s_coco_panoptic', 'panoptic',
                'mask2former/coco/panoptic/maskformer2_swin_small_bs16_50ep/model_final_a407fd.pkl'),
    _detectron2('mask2former/mask2former_swin_s_coco_instance', 'instance',
                'mask2former/coco/instance/maskformer2_swin_small_bs16_50ep/model_final_1e7f22.pkl'),
    _detectron2('mask2former/mask2former_swin_b_ade20k', 'semantic',
                'mask2former/ade20k/semantic/maskformer2_swin_base_IN21k_384_bs16_160k_res640/model_final_7e47bf.pkl'),
    _detectron2('mask2former/mask2former_swin_b_coco_panoptic', 'panoptic',
                'mask2former/coco/panoptic/maskformer2_swin_base_IN21k_384_bs16_50ep/model_final_54b88a.pkl'),
    _detectron2('mask2former/mask2former_swin_b_coco_instance', 'instance',
                'mask2former/coco/instance/maskformer2_swin_base_IN21k_384_bs16_50ep/model_final_83d103.pkl'),
    _detectron2('mask2former/mask2former_swin_l_ade20k', 'semantic',
                'mask2former/ade20k/semantic/maskformer2_swin_large_IN21k_384_bs16_160k_res640/model_final_6b4a3a.pkl'),
    _detectron2('mask2former/mask2former_swin_l_coco_panoptic', 'panoptic',
                'mask2former/coco/panoptic/maskformer2_swin_large_IN21k_384_bs16_100ep/model_final_f07440.pkl'),
    _detectron2('mask2former/mask2former_swin_l_coco_instance', 'instance',
                'mask2former/coco/instance/maskformer2_swin_large_IN21k_384_bs16_100ep/model_final_e5f453.pkl'),
    _detectron2('maskformer/maskformer_r50_ade20k', 'semantic',
                'semantic-ade20k/maskformer_R50_bs16_160k/model_final_d8dbeb.pkl'),
    _detectron2('maskformer/maskformer_r50_coco_panoptic', 'panoptic',
                'panoptic-coco/maskformer_panoptic_R50_bs64_554k/model_final_6f60dc.pkl'),
    _detectron2('maskformer/maskformer_swin_t_ade20k', 'semantic',
                'semantic-ade20k/maskformer_swin_tiny_bs16_160k/model_final_8657a5.pkl'),
    _detectron2('maskformer/maskformer_swin_t_coco_panoptic', 'panoptic',
                'panoptic-coco/maskformer_panoptic_swin_tiny_bs64_554k/model_final_539394.pkl'),
    _detectron2('maskformer/maskformer_swin_s_ade20k', 'semantic',
                'semantic-ade20k/maskformer_swin_small_bs16_160k/model_final_528157.pkl'),
    _detectron2('maskformer/maskformer_swin_s_coco_panoptic', 'panoptic',
                'panoptic-coco/maskformer_panoptic_swin_small_bs64_554k/model_final_5bf6b1.pkl'),
    _detectron2('maskformer/maskformer_swin_b_ade20k', 'semantic',
                'semantic-ade20k/maskformer_swin_base_IN21k_384_bs16_160k_res640/model_final_45388b.pkl'),
    _detectron2('maskformer/maskformer_swin_b_coco_panoptic', 'panoptic',
                'panoptic-coco/maskformer_panoptic_swin_base_IN21k_384_bs64_554k/model_final_4b7f49.pkl'),
    _detectron2('maskformer/maskformer_swin_l_ade20k', 'semantic',
                'semantic-ade20k/maskformer_swin_large_IN21k_384_bs16_160k_res640/model_final_aefa3b.pkl'),
    _detectron2('maskformer/maskformer_swin_l_coco_panoptic', 'panoptic',
                'panoptic-coco/maskformer_panoptic_swin_large_IN21k_384_bs64_554k/model_final_7505c4.pkl'),
)}


def names() -> list[str]:
    """All known models, those in the package first."""
    return list(_ENTRIES)


def entry(name: str) -> ZooEntry:
    """The model of this name.

    Raises:
        ValueError: There is none; the message names the nearest.
    """
    if name in _ENTRIES:
        return _ENTRIES[name]
    near = difflib.get_close_matches(name, _ENTRIES, n=1, cutoff=.5)
    hint = f" did you mean '{near[0]}'?" if near else ''
    raise ValueError(f"no model is named '{name}';{hint} known are {', '.join(_ENTRIES)}")


def config_path(item: ZooEntry) -> Path:
    """The config of a model: in a checkout beside the package, in an installation inside it.

    Raises:
        FileNotFoundError: It is in neither place.
    """
    roots = (PACKAGE.parent / 'configs', PACKAGE / '.mim' / 'configs')
    for root in roots:
        if (root / item.config).is_file():
            return root / item.config
    raise FileNotFoundError(f'{item.config}: no such config in {roots[0]} or {roots[1]}; install densevit again')


def find_weights(item: ZooEntry, weights: str | os.PathLike | None = None) -> Path:
    """The weights of a model: the given file, else the one in the package, else from the hub, a URL or a local cache.

    Raises:
        WeightsNotFoundError: There are none, or they cannot be downloaded; the message says what to do.
        WeightsError: The file in the package is not the one that was published.
    """
    if weights is not None:
        path = Path(weights).expanduser()
        if not path.exists():
            raise WeightsNotFoundError(f'{path}: no such checkpoint; check the path')
        return path
    if item.is_bundled:
        return _bundled(item)
    return local_file(item.file) if item.repo_id is None else _from_hub(item.name, item.repo_id, item.file)


def find_base(item: ZooEntry, base: str | os.PathLike | None = None) -> Path | None:
    """The backbone's weights that a model's weights are differences to; None for a model that needs none.

    Raises:
        WeightsNotFoundError: As :func:`find_weights`; the repositories of DINOv3 ask to accept its licence first.
    """
    if base is not None or item.base_repo_id is None:
        return None if base is None else Path(base).expanduser()
    return _from_hub(item.name, item.base_repo_id, 'model.safetensors', argument='base')


def model_card(name: str) -> dict[str, Any]:
    """What a model in the package was trained on and how, and what it reaches.

    ``['metrics']`` are in [0, 1]: ``mIoU``, or ``AP`` and ``AP50``.

    Raises:
        ValueError: No model of this name.
        FileNotFoundError: The model has no card in the package.
    """
    path = BUNDLED / f'{entry(name).name}.json'
    if not path.is_file():
        raise FileNotFoundError(f'{name} has no card in {path.parent}; the models in the package have one, for others '
                                'see the header of the config')
    return json.loads(path.read_text(encoding='utf-8'))


def file_sha256(path: Path) -> str:
    """The digest that tells a published file from a damaged one."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _bundled(item: ZooEntry) -> Path:
    path = BUNDLED / item.file
    if not path.is_file():
        raise WeightsNotFoundError(f'{item.name}: {path} is missing; install densevit again, or train with '
                                   f'python tools/train.py configs/{item.config}')
    card = path.with_suffix('.json')
    digest = json.loads(card.read_text(encoding='utf-8')).get('sha256') if card.is_file() else None
    if digest is not None and digest != file_sha256(path):
        raise WeightsError(f'{path}: not the file that was published (its sha256 differs); install densevit again')
    return path


def _from_hub(name: str, repo_id: str, file: str, argument: str = 'weights') -> Path:
    try:
        return Path(hf_hub_download(repo_id, file))
    except OSError as error:  # offline, not there, or not permitted: all errors of the hub are OSErrors
        reason = textwrap.shorten(str(error), 160, placeholder=' ...')
        raise WeightsNotFoundError(
            f'{name}: {file} of {repo_id} is not in the cache {constants.HF_HUB_CACHE} and could not be downloaded '
            f'({type(error).__name__}: {reason}); download {constants.ENDPOINT}/{repo_id}/resolve/main/{file} '
            f'where the hub can be reached, and give that file as {argument}= (--{argument})') from error
