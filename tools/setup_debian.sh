#!/usr/bin/env bash
# Installs what edgegan needs from Debian (or Ubuntu, Raspberry Pi OS), if any of it is missing:
# Python with venv, and the libraries that OpenCV's wheel links to but does not bring. Arguments name further packages.
set -euo pipefail

missing=()
python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3 python3-venv)
libraries=$(/sbin/ldconfig -p)
[[ $libraries == *libGL.so.1* ]] || missing+=(libgl1)
[[ $libraries == *libgthread-2.0.so.0* ]] || missing+=(libglib2.0-0)
for package in "$@"; do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
done
[[ ${#missing[@]} -gt 0 ]] || exit 0

if ! command -v apt-get >/dev/null; then
    echo "$0: please install what Debian calls: ${missing[*]}" >&2
    exit 1
fi
as_root=()
[[ $EUID -eq 0 ]] || as_root=(sudo)
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}"
