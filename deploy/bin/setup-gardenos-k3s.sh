#!/bin/sh
# setup-gardenos-k3s.sh --inventory FILE [--dry-run] [--json]: K3s on the three nodes.
set -eu
me=setup-gardenos-k3s
# shellcheck source=deploy/lib/common.sh
. "$(dirname "$0")/../lib/common.sh"
ops k3s "$@"
