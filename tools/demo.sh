#!/usr/bin/env bash
# From a clean clone to the running demo; options go to `edgegan demo`.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)

bash "$here/tools/setup_debian.sh"
[[ -x $here/.venv/bin/pip ]] || python3 -m venv "$here/.venv"
"$here/.venv/bin/pip" install --quiet --disable-pip-version-check --editable "$here[window]"
"$here/.venv/bin/edgegan" demo "$@" # no exec: the demo counts the time to its first picture from its process's start
