#!/bin/sh
# setup-etcd-cluster.sh --inventory FILE [--dry-run] [--json]: etcd on the three nodes, with TLS and users.
set -eu
me=setup-etcd-cluster
# shellcheck source=deploy/lib/common.sh
. "$(dirname "$0")/../lib/common.sh"
ops etcd "$@"
