#!/bin/sh
# gardenos-status.sh --inventory FILE [--json]: every point of access and whether it answers.
set -eu
me=gardenos-status
# shellcheck source=deploy/lib/common.sh
. "$(dirname "$0")/../lib/common.sh"
ops status "$@"
