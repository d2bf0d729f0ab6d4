#!/usr/bin/env bash
# Makes the venv with the pinned peers once (about 6 GB; one that exists may be named in
# VENV_PEERS), then runs compare.py with the arguments given.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/../.."

venv=${VENV_PEERS:-build/venv-peers}
export PIP_CACHE_DIR=$PWD/build/pip-cache PIP_DISABLE_PIP_VERSION_CHECK=1

# The copy of requirements.txt is written last: it marks a venv that is complete and up to date.
if ! cmp -s bench/peers/requirements.txt "$venv/requirements-peers.txt"; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet -r bench/peers/requirements.txt
    cp bench/peers/requirements.txt "$venv/requirements-peers.txt"
fi

exec "$venv/bin/python" bench/peers/compare.py "$@"
