"""Processes of their own, which are forked from one that has imported what takes seconds to import."""
from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

# What most programs import anyway; nothing of it imports mmcv, whose operators densevit replaces before.
OF_RUNS = ('torch', 'timm', 'mmengine.runner')
# Processes that are forked from it can go backward, which those that are forked from a test's cannot.
SERVER = multiprocessing.get_context('forkserver')
SERVER.set_forkserver_preload([*OF_RUNS])
_SERVER = '''
import importlib, json, os, sys, traceback
for name in sys.argv[1:]:
    importlib.import_module(name)
for line in sys.stdin:
    asked = json.loads(line)
    child = os.fork()
    if not child:
        code = 1
        for number, name in enumerate((os.devnull, asked['out'], asked['err'])):
            os.dup2(os.open(name, os.O_RDWR), number)
        try:
            os.chdir(asked['cwd'])
            os.environ.clear()
            os.environ.update(asked['env'])
            sys.path[:], sys.argv = asked['path'], ['-c', *asked['argv']]
            scope = dict(__name__='__main__', __builtins__=__builtins__)
            exec(compile(asked['code'], '<program>', 'exec'), scope)
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
            if isinstance(stop.code, str):
                print(stop.code, file=sys.stderr)
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
'''


@cache
def _server(imported: tuple[str, ...]) -> subprocess.Popen:
    # In a folder of its own, so that no module is found in the current one.
    return subprocess.Popen([sys.executable, '-c', _SERVER, *imported], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            text=True, cwd=tempfile.gettempdir())


def run_program(
    code: str,
    *arguments: str,
    path: Sequence[str | Path],
    imported: tuple[str, ...] = ('torch', ),
    cwd: str | Path | None = None,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess:
    """What ``python -c CODE ARGUMENTS`` gives, where the modules of ``imported`` have been imported before.

    Args:
        code: The program.
        arguments: Behind the first of its ``sys.argv``.
        path: Its ``sys.path``.
        imported: What is in its ``sys.modules`` with all that it imports. Nothing of the package may be.
        cwd: Its folder, this one if none is given.
        env: Its environment, this one if none is given.
    """
    server = _server(imported)
    with tempfile.NamedTemporaryFile('r') as out, tempfile.NamedTemporaryFile('r') as err:
        asked = dict(code=code, argv=arguments, path=[*map(str, path)], cwd=str(cwd or Path.cwd()), out=out.name,
                     err=err.name, env=dict(os.environ if env is None else env))
        server.stdin.write(json.dumps(asked) + '\n')
        server.stdin.flush()
        status = server.stdout.readline()
        assert status, 'the process that programs are forked from has ended'
        return subprocess.CompletedProcess(code, int(status), out.read(), err.read())
