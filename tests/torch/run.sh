#!/usr/bin/env bash
# Checks xattn on state dicts saved by PyTorch, against PyTorch. Arguments go to check.py (see its
# --help). PyPI's torch cannot be imported without its CUDA libraries, so the venv takes 5.7 GB; one
# that exists may be named in VENV_TORCH.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/../.."

venv=${VENV_TORCH:-build/venv-torch}
export PIP_CACHE_DIR=$PWD/build/pip-cache PIP_DISABLE_PIP_VERSION_CHECK=1

# The copy of requirements.txt is written last: it marks a venv that is complete and up to date.
if ! cmp -s tests/torch/requirements.txt "$venv/requirements-torch.txt"; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet -r tests/torch/requirements.txt
    cp tests/torch/requirements.txt "$venv/requirements-torch.txt"
fi

PYTHONPATH=tests/real:bench/peers exec "$venv/bin/python" tests/torch/check.py "$@"
