"""The command that gives a checkpoint the positions of a window."""
import pytest
import torch
from randomised import randomise
from timm import create_model

from densevit import commands


@pytest.fixture
def convert(capsys):
    """A function that runs the command and gives its exit code, output and errors."""
    def run(*arguments):
        capsys.readouterr()
        code = commands.main(['convert-pos-embed', *map(str, arguments)])
        return code, *capsys.readouterr()
    return run


@pytest.fixture
def checkpoint(tmp_path):
    model = randomise(create_model('vit_small_patch16_224', num_classes=3, embed_dim=32, depth=1, num_heads=2))
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'vit.pth')
    return tmp_path / 'vit.pth'


def test_it_says_what_it_did_and_where(convert, checkpoint, tmp_path):
    before = checkpoint.read_bytes()
    code, output, errors = convert(checkpoint, tmp_path / 'window8.safetensors', '--window', 8, '--global-grid', 7)
    assert code == 0 and not errors and checkpoint.read_bytes() == before
    first, second = output.splitlines()
    assert first == 'pos_embed: 14x14 tokens resized once to a window of 8x8; global_pos_embed: 7x7 zeros'
    assert 'window8.safetensors' in second and 'bytes' in second


def test_a_hiera_is_decomposed(convert, tmp_path):
    torch.save({'pos_embed': torch.randn(1, 56 * 56, 4)}, tmp_path / 'hiera.pth')
    code, output, _ = convert(tmp_path / 'hiera.pth', tmp_path / 'out.pth', '--window', 8, '--decompose')
    assert code == 0 and 'decomposed into a window of 8x8 and a global part of 7x7' in output
    assert '% of its norm is lost' in output


def test_errors_are_one_line(convert, checkpoint, tmp_path):
    for arguments, said in [
        ((checkpoint, checkpoint, '--window', 14), 'exists and is not overwritten'),
        ((tmp_path / 'absent.pth', tmp_path / 'out.pth', '--window', 14), 'no such checkpoint'),
        ((checkpoint, tmp_path / 'out.bin', '--window', 14), 'written as .safetensors or .pth'),
        ((checkpoint, tmp_path / 'out.pth', '--window', 9, '--decompose'), f'{checkpoint}: 197 positions'),
    ]:
        code, output, errors = convert(*arguments)
        assert code == 2 and not output
        assert errors.startswith('error: ') and errors.count('\n') == 1 and said in errors
    assert not (tmp_path / 'out.pth').exists()


def test_the_arguments_are_checked(convert, checkpoint, tmp_path, capsys):
    with pytest.raises(SystemExit) as error:
        convert(checkpoint, tmp_path / 'out.pth', '--window', 0)
    assert error.value.code == 2 and "'0' is no number of tokens" in capsys.readouterr().err
