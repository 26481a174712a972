"""Restoration networks and their authors' code with the same random weights: outputs, gradients, checkpoints."""
import pytest
import torch
from networks.restoration.official_restoration import FORMS, ours, stable_sort, theirs

from densevit import load_weights

pytest.importorskip('spandrel', reason='needs spandrel')
# Their code pads neither of these networks or, for compressed images, squeezes what it has padded.
WHOLE_WINDOWS = ('DRCT x4', 'Swin2SR compressed x4')


@pytest.mark.parametrize('form', FORMS)
def test_same_outputs_and_gradients(form, monkeypatch):
    stable_sort(monkeypatch)
    network, reference = ours(form), theirs(form)
    report = load_weights(network, dict(params=reference.state_dict()))
    assert not report.missing and 'authors' in report.naming
    size = (24, 40) if form in WHOLE_WINDOWS else (21, 38)
    images = torch.rand(2, network.in_channels, *size, dtype=torch.double)
    expected, found = reference(images), network(images)
    if isinstance(expected, tuple):  # Swin2SR's without high frequencies, with them, and what they add
        expected = expected[1]
    assert found.shape == (2, network.in_channels, *(network.scale * side for side in size))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9 * expected.std().item())
    expected.square().mean().backward()
    found.square().mean().backward()
    gradients = {name: parameter.grad for name, parameter in reference.named_parameters()}
    largest = max(gradient.abs().max().item() for gradient in gradients.values())
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[name], rtol=1e-7, atol=1e-10 * largest, msg=name)
