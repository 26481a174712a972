"""Which timm names run as which backbone, found out by running them."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import timm
import torch
from torch import nn

from ..backbones.contract import Backbone
from ..backbones.hiera import Hiera
from ..backbones.hiera_det import HieraDet
from ..backbones.plain_vit import PlainViT
from ..backbones.timm_models import timm_name
from ..backbones.timm_pyramid import TimmPyramid

# The smallest variant of each family, by the class that should take it.
PLAIN_FAMILIES = {
    'ViT AugReg': 'vit_tiny_patch16_224.augreg_in21k',
    'DeiT III': 'deit3_small_patch16_224.fb_in1k',
    'MAE': 'vit_base_patch16_224.mae',
    'CLIP': 'vit_base_patch32_clip_224.openai',
    'SigLIP': 'vit_base_patch16_siglip_224.webli',
    'SigLIP 2': 'vit_base_patch16_siglip_224.v2_webli',
    'DINO': 'vit_small_patch16_224.dino',
    'DINOv2': 'vit_small_patch14_dinov2.lvd142m',
    'DINOv2 with registers': 'vit_small_patch14_reg4_dinov2.lvd142m',
    'DINOv3': 'vit_small_patch16_dinov3.lvd1689m',
    'EVA-02': 'eva02_tiny_patch14_224.mim_in22k',
    'Perception Encoder': 'vit_pe_core_tiny_patch16_384.fb',
    'BEiT': 'beit_base_patch16_224.in22k_ft_in22k',
    'BEiTv2': 'beitv2_base_patch16_224.in1k_ft_in22k',
    'SAM': 'samvit_base_patch16.sa1b',
    'FlexiViT': 'flexivit_small.600ep_in1k',
    'ViTamin': 'vitamin_small_224.datacomp1b_clip',
    'ResNet + ViT': 'vit_small_r26_s32_224.augreg_in21k',
}
PYRAMID_FAMILIES = {
    'ResNet': 'resnet18', 'ResNet-D / T': 'resnet10t', 'ResNeXt': 'resnext50_32x4d', 'SE-ResNet': 'seresnet18',
    'ECA-ResNet': 'ecaresnet26t', 'SK-ResNet': 'skresnet18', 'ResNeSt': 'resnest14d', 'Res2Net': 'res2net50_26w_4s',
    'ResNetV2 / BiT': 'resnetv2_50x1_bit', 'TResNet': 'tresnet_m', 'RegNet': 'regnetx_002', 'DenseNet': 'densenet121',
    'DLA': 'dla34', 'DPN': 'dpn48b', 'VGG': 'vgg11_bn', 'VoVNet': 'ese_vovnet19b_slim', 'SelecSLS': 'selecsls42',
    'ReXNet': 'rexnet_100', 'CSPResNet': 'cspresnet50', 'DarkNet': 'cspdarknet53', 'NF-ResNet': 'nf_resnet26',
    'NFNet': 'nfnet_l0', 'Xception': 'xception41', 'HRNet': 'hrnet_w18_small', 'HGNet': 'hgnet_tiny',
    'HGNetV2': 'hgnetv2_b0', 'EfficientNet': 'efficientnet_b0', 'EfficientNetV2': 'tf_efficientnetv2_b0',
    'MobileNetV2': 'mobilenetv2_050', 'MobileNetV3': 'mobilenetv3_small_050', 'MobileNetV4': 'mobilenetv4_conv_small',
    'MobileNetV4 hybrid': 'mobilenetv4_hybrid_medium', 'MobileNetV5': 'mobilenetv5_base', 'MNASNet': 'mnasnet_small',
    'LCNet': 'lcnet_050', 'LCNetV2': 'lcnetv2_base', 'TinyNet': 'tinynet_e', 'MixNet': 'mixnet_s',
    'FBNet': 'fbnetc_100', 'HardCoRe-NAS': 'hardcorenas_a', 'GhostNet': 'ghostnet_050', 'GhostNetV2': 'ghostnetv2_100',
    'GhostNetV3': 'ghostnetv3_050', 'RepGhostNet': 'repghostnet_050', 'RepVGG': 'repvgg_a0',
    'MobileOne': 'mobileone_s0', 'RepViT': 'repvit_m0_9', 'StarNet': 'starnet_s050', 'FasterNet': 'fasternet_t0',
    'RDNet': 'rdnet_tiny',
    'ConvNeXt': 'convnext_atto', 'ConvNeXtV2': 'convnextv2_atto', 'DINOv3 ConvNeXt': 'convnext_tiny.dinov3_lvd1689m',
    'InceptionNeXt': 'inception_next_atto', 'ConvMixer': 'convmixer_768_32', 'CSPNeXt': 'cspnext_tiny',
    'CSATv2': 'csatv2', 'CPUBone': 'cpubone_nano', 'MambaOut': 'mambaout_femto',
    'BotNet': 'botnet26t_256', 'HaloNet': 'halonet26t', 'LambdaNet': 'lambda_resnet26t', 'BAT': 'bat_resnext26ts',
    'Swin': 'swin_tiny_patch4_window7_224', 'Swin S3': 'swin_s3_tiny_224', 'SwinV2': 'swinv2_tiny_window8_256',
    'SwinV2-CR': 'swinv2_cr_tiny_ns_224', 'PVTv2': 'pvt_v2_b0', 'MiT (SegFormer)': 'mit_b0',
    'Twins-PCPVT': 'twins_pcpvt_small',
    'Twins-SVT': 'twins_svt_small', 'MaxViT': 'maxvit_nano_rw_256', 'MaxViT (RelPosMLP)': 'maxvit_rmlp_pico_rw_256',
    'MaxxViT': 'maxxvit_rmlp_nano_rw_256', 'MaxxViTV2': 'maxxvitv2_nano_rw_256', 'CoAtNet': 'coatnet_pico_rw_224',
    'CoAtNeXt': 'coatnext_nano_rw_224', 'DaViT': 'davit_tiny', 'GCViT': 'gcvit_xxtiny', 'CoaT': 'coat_tiny',
    'CoaT-Lite': 'coat_lite_tiny', 'MViTv2': 'mvitv2_tiny', 'XCiT': 'xcit_nano_12_p16_224', 'NextViT': 'nextvit_small',
    'EfficientViT (MIT)': 'efficientvit_b0', 'EfficientViT-L (MIT)': 'efficientvit_l1',
    'EfficientViT (MSRA)': 'efficientvit_m0', 'EfficientFormer': 'efficientformer_l1',
    'EfficientFormerV2': 'efficientformerv2_s0', 'FastViT': 'fastvit_t8', 'MobileCLIP': 'fastvit_mci0',
    'TinyViT': 'tiny_vit_5m_224', 'MobileViT': 'mobilevit_xxs', 'MobileViTv2': 'mobilevitv2_050',
    'EdgeNeXt': 'edgenext_xx_small', 'CrossViT': 'crossvit_tiny_240', 'Sequencer': 'sequencer2d_s',
    'PoolFormer': 'poolformer_s12', 'PoolFormerV2': 'poolformerv2_s12', 'ConvFormer': 'convformer_s18',
    'CAFormer': 'caformer_s18', 'LeViT': 'levit_128s', 'LeViT (conv)': 'levit_conv_128s', 'Visformer': 'visformer_tiny',
    'NesT': 'nest_tiny', 'PiT': 'pit_ti_224', 'FocalNet': 'focalnet_tiny_srf', 'VOLO': 'volo_d1_224',
    'iFormer': 'iformer_t', 'SwiftFormer': 'swiftformer_xs', 'SHViT': 'shvit_s1', 'LowFormer': 'lowformer_b0',
    'EfficientViM': 'efficientvim_m1', 'CaiT': 'cait_xxs24_224', 'ConViT': 'convit_tiny', 'MLP-Mixer': 'mixer_s32_224',
    'ResMLP': 'resmlp_12_224', 'gMLP': 'gmlp_ti16_224', 'ViT (relative)': 'vit_relpos_small_patch16_224',
    'NASNet': 'nasnetalarge', 'Inception v3': 'inception_v3', 'Inception v4': 'inception_v4',
    'Inception-ResNet v2': 'inception_resnet_v2', 'Legacy Xception': 'legacy_xception',
}
FAMILIES = {family: (PlainViT, name) for family, name in PLAIN_FAMILIES.items()} | {
    family: (TimmPyramid, name) for family, name in PYRAMID_FAMILIES.items()} | {
    'Hiera': (Hiera, 'hiera_tiny_224'), 'Hiera (SAM 2)': (HieraDet, 'sam2_hiera_tiny')}
_ODD = (161, 250)


@dataclass(frozen=True)
class Row:
    """What running a backbone showed; ``failure`` is empty where it ran.

    Attributes:
        family, name: The name in publications, and timm's.
        use: The class to use.
        failure: Why it does not run.
        sizes: Images that it takes.
        strides, channels: Those of its maps.
        parameters: In millions, without the classifier.
        compiles: Whether ``torch.compile(fullgraph=True)`` takes it at a fixed size.
    """
    family: str
    name: str
    use: str
    failure: str = ''
    sizes: str = ''
    strides: tuple[int, ...] = ()
    channels: tuple[int, ...] = ()
    parameters: float = 0.
    compiles: bool = False

    def markdown(self) -> str:
        """A row of the table."""
        if self.failure:
            cells = (self.family, f'`{self.name}`', self.use, f'no: {self.failure}', '', '', '', '', '')
        else:
            cells = (self.family, f'`{self.name}`', self.use, 'yes', self.sizes, '/'.join(map(str, self.strides)),
                     '/'.join(map(str, self.channels)), f'{self.parameters:.1f}', 'yes' if self.compiles else 'no')
        return f'| {" | ".join(cells)} |'


@torch.no_grad()
def examine(family: str) -> Row:
    """Build a family's backbone with random weights, run it at its own size and at an odd, non-square one, trace it."""
    cls, name = FAMILIES[family]
    try:
        backbone = cls(name).eval()
    except (TypeError, ValueError) as error:
        return Row(family, name, '', str(error))
    rule = getattr(backbone, 'sizes', None)
    limit = rule.limit if rule else None
    own = timm.get_pretrained_cfg(timm_name(name)).input_size[-1]
    sizes = (_ODD, (min(own, 224), ) * 2) if limit is None else ((limit[0] - 63, limit[1] - 30), limit)
    try:
        for size in sizes:
            images = torch.zeros(1, 3, *size)
            _check(backbone, backbone(images), size)
    except Exception as error:  # whatever a network of another library may raise is a result here
        return Row(family, name, f'`{cls.__name__}`', f'{type(error).__name__}: {" ".join(str(error).split())[:120]}')
    return Row(
        family, name, f'`{cls.__name__}`',
        sizes=_say_sizes(backbone),
        strides=backbone.strides,
        channels=backbone.out_channels,
        parameters=sum(p.numel() for p in backbone.parameters()) / 1e6,
        compiles=_compiles(backbone, torch.zeros(1, 3, *(limit or (96, 128)))))


def _check(backbone: Backbone, maps: Sequence[torch.Tensor], size: tuple[int, int]) -> None:
    expected = [(1, channels, -(-size[0] // stride), -(-size[1] // stride))
                for channels, stride in zip(backbone.out_channels, backbone.strides, strict=True)]
    if [tuple(x.shape) for x in maps] != expected:
        raise RuntimeError(f'maps of {[tuple(x.shape) for x in maps]} in place of {expected}')


def _say_sizes(backbone: Backbone) -> str:
    rule = getattr(backbone, 'sizes', None)
    if rule is None:
        return f'any, padded to {backbone.stride}' if isinstance(backbone, PlainViT) else 'any'
    if rule.limit is not None:
        return f'up to {rule.limit[0]} x {rule.limit[1]}' + (', `img_size=`' if rule.step else '')
    return 'any' if rule.multiple == (1, 1) else f'any, padded to {rule.multiple[0]}'


def _compiles(backbone: nn.Module, images: torch.Tensor) -> bool:
    """Whether it is one graph; nothing is generated or run."""
    torch._dynamo.reset()
    try:
        torch.compile(backbone, fullgraph=True, dynamic=False, backend='eager')(images)
    except Exception:  # as above
        return False
    finally:
        torch._dynamo.reset()
    return True
