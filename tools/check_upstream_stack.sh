#!/usr/bin/env bash
# Runs the compatibility tests on the original OpenMMLab packages instead of the onedl-* fork.
#
#   tools/check_upstream_stack.sh [DIRECTORY]
#
# DIRECTORY receives the packages (about 60 MB) and is used as it is when it already holds them; without it, a
# temporary one is made and removed. It must lie outside of this repository. Nothing is installed into the environment,
# which must already have torch, the test extra and what the packages depend on, for example through
# `pip install -e '.[test]'`. PYTHON chooses the interpreter.
set -euo pipefail

if [[ ${1:-} == -h || ${1:-} == --help ]]; then
    sed -n '2,/^set/{s/^# \{0,1\}//p}' "$0"
    exit
fi

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${PYTHON:-python}
# pkg_resources, which mmengine 0.10.7 imports, left setuptools with version 81.
packages=(mmengine==0.10.7 mmcv-lite==2.1.0 mmsegmentation==1.2.2 mmdet==3.3.0 'setuptools<81')

if [[ $# -gt 0 ]]; then
    target=$("$python" -c 'import os, sys; print(os.path.realpath(sys.argv[1]))' "$1")
else
    target=$(mktemp -d)
    trap 'rm -rf "$target"' EXIT
fi
if [[ $target/ == "$root"/* ]]; then
    echo "$target lies inside of the repository; choose a directory outside of $root" >&2
    exit 2
fi

mkdir -p "$target"
if [[ ! -d $target/mmdet ]]; then
    "$python" -m pip install --quiet --no-deps --target "$target" "${packages[@]}"
fi

cd "$root"
export PYTHONPATH="$target:$root${PYTHONPATH:+:$PYTHONPATH}"
"$python" - "$target" <<'PYTHON'
import sys
from pathlib import Path

import densevit  # noqa: F401  (its operators must be there before mmdet)
import mmcv, mmdet, mmengine, mmseg

for package in (mmengine, mmcv, mmseg, mmdet):
    if not Path(package.__file__).is_relative_to(sys.argv[1]):
        sys.exit(f'{package.__name__} comes from {package.__file__}, not from {sys.argv[1]}')
    print(package.__name__, package.__version__)
PYTHON
"$python" -m pytest -q tests/compat/test_compat.py tests/test_stock_models.py tests/test_backbone_matrix.py tests/models/test_check.py
