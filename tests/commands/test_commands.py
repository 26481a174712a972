"""The console command, the doors of tools/ and demo/, and what stands for a file."""
from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from checkout import ROOT
from interpreters import OF_RUNS, run_program

from densevit import commands
from densevit.commands import COMMANDS, RARE_COMMANDS, list_models
from densevit.commands.known_names import find_checkpoint, find_config, known_model
from densevit.registry import config_file
from densevit.weights import zoo

ALL = COMMANDS | RARE_COMMANDS
DOORS = {path.stem: re.search(r"run\('(.+)'\)", path.read_text())[1]
         for folder in ('tools', 'demo') for path in (ROOT / folder).glob('[!_]*.py')}


def python(*arguments: object, **options) -> subprocess.CompletedProcess:
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    return subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True, env=environment,
                          **options)


def test_help_lists_every_command_with_an_example(capsys, monkeypatch):
    assert commands.main(['--help']) == 0
    text = capsys.readouterr().out
    assert all(f'densevit {name} {command.example}' in text for name, command in ALL.items())
    monkeypatch.setattr(sys, 'argv', ['densevit'])
    assert commands.main() == commands.main([]) == 2


def test_examples_are_understood(capsys):
    """The parser takes them, and their configs are there."""
    for name, command in ALL.items():
        with pytest.raises(SystemExit, match='0'):
            commands.main([name, '--help'])
        shown = capsys.readouterr().out
        assert re.search(rf'^  densevit {name} ', shown, re.M), name
        if name != 'predict':  # tests/inference
            assert f'densevit {name} {command.example}' in shown
            module = import_module(f'densevit.commands.{command.module}')
            args = module.build_parser(f'densevit {name}').parse_args(shlex.split(command.example))
            for config in [getattr(args, 'config', None), *getattr(args, 'configs', ())]:
                assert config is None or config_file(find_config(config)).is_file()


def test_doors_say_their_own_names(tmp_path):
    assert set(DOORS.values()) == set(ALL) - {'models'}
    run_file = "import runpy, sys; sys.argv.pop(0); runpy.run_path(sys.argv[0], run_name='__main__')"
    run_module = "import runpy; runpy.run_module('densevit', run_name='__main__', alter_sys=True)"
    settings = dict(path=[ROOT / 'tools', ROOT, *sys.path], imported=OF_RUNS, cwd=tmp_path)
    done = run_program(run_file, str(ROOT / 'tools' / 'benchmark.py'), 'op', '--help', **settings)
    assert done.returncode == 0 and 'python tools/benchmark.py op --levels' in done.stdout
    assert run_program(run_module, 'models', '--bundled', **settings).returncode == 0
    done = python(ROOT / 'tools' / 'train.py', 'nowhere.py', cwd=tmp_path)  # and nothing of what imports may print
    assert done.returncode == 2 and not done.stdout
    assert done.stderr == 'error: the config nowhere.py does not exist\n'


@pytest.mark.parametrize('start', ['tools/train.py', 'demo/infer.py'])
def test_interrupted_while_libraries_are_imported(tmp_path, start):
    """A word and the exit code of the signal."""
    (tmp_path / 'torch.py').write_text('raise KeyboardInterrupt')
    environment = dict(os.environ, PYTHONPATH=f'{tmp_path}{os.pathsep}{ROOT}')
    done = subprocess.run([sys.executable, ROOT / start, 'a.py'], capture_output=True, text=True, env=environment,
                          cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (130, '', 'interrupted\n')


def test_interrupted_while_a_command_is_imported(monkeypatch, capsys):
    def interrupt(*names):
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, 'import_module', interrupt)
    assert commands.main(['models']) == 130 and capsys.readouterr().err == 'interrupted\n'


def test_a_door_says_that_the_package_is_not_installed():
    done = subprocess.run([sys.executable, '-S', ROOT / 'tools' / 'train.py'], capture_output=True, text=True,
                          env={key: value for key, value in os.environ.items() if key != 'PYTHONPATH'})
    assert done.returncode == 2
    assert done.stderr == f'error: densevit is not installed: run `pip install -e .` in {ROOT}\n'


def test_wrong_names_are_answered_in_one_line(capsys):
    for arguments, said in (
            (['trian'], 'did you mean densevit train?'), (['\x1b[2J'], 'there are train, test'),
            (['train', 'eomt_tiny_camvit'], 'did you mean eomt_tiny_camvid?'),
            (['train', 'eomt_tiny_camvid', '--load-from', 'eomt_tiny_animal'], "did you mean 'eomt_tiny_animals'?"),
            (['test', 'densevit::pem/pem_r50_ade20k.py'], 'give a checkpoint behind it')):
        assert commands.main(arguments) == 2
        error = capsys.readouterr().err
        assert error.startswith('error: ') and error.count('\n') == 1 and said in error and '\x1b' not in error


def test_names_stand_for_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    camvid = ROOT / 'configs' / 'tiny' / 'eomt_tiny_camvid.py'
    assert Path(find_config('eomt_tiny_camvid')).samefile(camvid)
    assert known_model(camvid) == known_model('densevit::tiny/eomt_tiny_camvid.py') == 'eomt_tiny_camvid'
    assert known_model('densevit::pem/pem_r50_ade20k.py') is None
    assert Path(find_config('configs/tiny/eomt_tiny_camvid.py')).samefile(camvid)
    assert Path(find_config('eomt_tiny_camvid_fsdp')).name == 'eomt_tiny_camvid_fsdp.py'  # not in the zoo
    assert find_config('densevit::tiny/eomt_tiny_camvid.py') == 'densevit::tiny/eomt_tiny_camvid.py'
    entry = zoo.entry('eomt_tiny_camvid')
    assert find_checkpoint('eomt_tiny_camvid') == (str(zoo.find_weights(entry)), None)
    (tmp_path / 'eomt_tiny_camvid').touch()  # a file of one's own comes first
    assert find_checkpoint('eomt_tiny_camvid', 'base.pth') == ('eomt_tiny_camvid', 'base.pth')
    assert find_checkpoint('absent.pth') == ('absent.pth', None) and find_checkpoint(None) == (None, None)


def test_models_lists_the_zoo(capsys):
    assert list_models.main([]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.split()[0] for line in lines] == zoo.names()
    camvid = next(line for line in lines if 'eomt_tiny_camvid' in line)
    assert 'semantic' in camvid and 'in the package' in camvid and 'Apache-2.0' in camvid and 'mIoU' in camvid
    assert list_models.main(['--task', 'instance', '--bundled']) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]] == ['eomt_tiny_nuclei']
