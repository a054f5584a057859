#!/bin/sh
# What the scripts in deploy/bin share: where the repository is, a Python that can read the inventory, how to give up.
# The caller says what it is in `me`.

die() {
    echo "${me:-deploy}: $1" >&2
    exit 2
}

need() {
    command -v "$1" >/dev/null 2>&1 || die "the program $1 is missing: $2"
}

# ops COMMAND [OPTIONS]: the tool itself, in place of this shell.
ops() {
    root=$(cd "$(dirname "$0")/../.." && pwd) || die "cannot find the repository"
    need ssh "apt-get install openssh-client"
    need openssl "apt-get install openssl"
    python=${PYTHON:-}
    if [ -z "$python" ]; then
        for python in "$root/.venv/bin/python" python3; do
            "$python" -c 'import sys, yaml; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break
            python=""
        done
    fi
    [ -n "$python" ] || die "Python 3.11 with PyYAML is missing: apt-get install python3 python3-yaml"
    PYTHONPATH=$root exec "$python" -m deploy.ops "$@"
}
