#!/bin/sh
# setup-gardenos.sh --inventory FILE [--dry-run] [--json]: the whole set-up in order: preflight, etcd, k3s, lb, firewall.
set -eu
me=setup-gardenos
# shellcheck source=deploy/lib/common.sh
. "$(dirname "$0")/../lib/common.sh"
ops setup "$@"
