"""Reference implementations of restoration networks: spandrel's copies of the authors' code, and transformers'."""
from __future__ import annotations

import warnings

import torch
from randomised import randomise
from torch import nn

from densevit.networks.restoration import ATD, DRCT, HAT, Swin2SR, SwinIR

SMALL = dict(embed_dim=24, depths=(2, 3), num_heads=(2, 3), window_size=8, mlp_ratio=2.)
OFFICIAL = dict(img_size=16, embed_dim=24, depths=[2, 3], num_heads=[2, 3], window_size=8, mlp_ratio=2.)
# Name, our class, our options, theirs.
FORMS = {
    'SwinIR classical x2': (SwinIR, dict(scale=2, upsampler='pixelshuffle'), dict()),
    'SwinIR classical x3': (SwinIR, dict(scale=3, upsampler='pixelshuffle'), dict()),
    'SwinIR light x3': (SwinIR, dict(scale=3, upsampler='pixelshuffledirect'), dict()),
    'SwinIR real-world x4': (SwinIR, dict(scale=4, upsampler='nearest+conv'), dict()),
    'SwinIR real-world large': (SwinIR, dict(scale=4, upsampler='nearest+conv', group_convs=3),
                                dict(resi_connection='3conv')),
    'SwinIR denoising': (SwinIR, dict(), dict()),
    'SwinIR JPEG grey': (SwinIR, dict(in_channels=1, window_size=7, img_range=255.),
                         dict(in_chans=1, window_size=7, img_range=255., img_size=14)),
    'Swin2SR classical x2': (Swin2SR, dict(scale=2, upsampler='pixelshuffle'), dict()),
    'Swin2SR light x3': (Swin2SR, dict(scale=3, upsampler='pixelshuffledirect'), dict()),
    'Swin2SR real-world x4': (Swin2SR, dict(scale=4, upsampler='nearest+conv'), dict()),
    'Swin2SR JPEG': (Swin2SR, dict(), dict()),
    'Swin2SR compressed x4': (Swin2SR, dict(scale=4, upsampler='pixelshuffle_aux'), dict()),
    'Swin2SR with high frequencies x3': (Swin2SR, dict(scale=3, upsampler='pixelshuffle_hf'), dict()),
    'HAT x2': (HAT, dict(scale=2, squeeze_factor=4, conv_scale=.3), dict(squeeze_factor=4, conv_scale=.3)),
    'HAT x3 narrow': (HAT, dict(scale=3, compress_ratio=8, squeeze_factor=8, overlap_ratio=.25),
                      dict(compress_ratio=8, squeeze_factor=8, overlap_ratio=.25)),
    'DRCT x4': (DRCT, dict(scale=4, num_heads=4, growth=8), dict(num_heads=[4, 4], gc=8)),
    'ATD x2': (ATD, dict(scale=2, category_size=50, num_tokens=16, reduced_dim=4),
               dict(category_size=50, num_tokens=16, reducted_dim=4)),
    'ATD light x3': (ATD, dict(scale=3, category_size=50, num_tokens=16, reduced_dim=4, upsampler='pixelshuffledirect'),
                     dict(category_size=50, num_tokens=16, reducted_dim=4)),
    'ATD without mean': (
        ATD, dict(scale=1, category_size=50, num_tokens=16, reduced_dim=4, upsampler=None, subtract_mean=False),
        dict(category_size=50, num_tokens=16, reducted_dim=4, norm=False)),
}


def ours(form: str) -> nn.Module:
    """Our network of a form, in double precision."""
    cls, options, _ = FORMS[form]
    options = {**SMALL, **options}
    if cls is DRCT:
        options['num_groups'] = len(options.pop('depths'))
    return cls(**options).double().eval()


def theirs(form: str) -> nn.Module:
    """spandrel's of the same form with random values, in double precision."""
    from spandrel.architectures import ATD as atd
    from spandrel.architectures import DRCT as drct
    from spandrel.architectures import HAT as hat
    from spandrel.architectures import Swin2SR as swin2sr
    from spandrel.architectures import SwinIR as swinir

    cls, options, others = FORMS[form]
    package = dict(ATD=atd, DRCT=drct, HAT=hat, Swin2SR=swin2sr, SwinIR=swinir)[cls.__name__]
    upsampler = options.get('upsampler', 'pixelshuffle' if cls in (HAT, DRCT) or options.get('scale', 1) > 1 else '')
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of torch.meshgrid
        network = getattr(package, cls.__name__)(
            **{**OFFICIAL, 'upscale': options.get('scale', 1), 'upsampler': upsampler or '', **others})
    constant = {name: value.clone() for name, value in network.state_dict().items() if 'relative_coords' in name}
    randomise(network)
    network.load_state_dict(constant, strict=False)  # which follows from sizes and is no parameter
    return network.double()


def stable_sort(monkeypatch) -> None:
    """ATD's pixels of one category in the order of the image: theirs is that of an unstable sort."""
    sort = torch.sort
    monkeypatch.setattr(torch, 'sort', lambda x, dim=-1, stable=True: sort(x, dim=dim, stable=True))
