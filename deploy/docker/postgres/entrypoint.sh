#!/bin/sh
# What this container is. Writes nothing: every configuration is mounted.
set -eu
role=${1:-patroni}
[ $# -eq 0 ] || shift
umask 0077
case "$role" in
    patroni) exec patroni /etc/gardenos/patroni/patroni.yml ;;
    single) exec single-postgres ;;
    haproxy) exec haproxy -db -f /etc/gardenos/haproxy/haproxy.cfg ;;
    pgbouncer) exec pgbouncer /etc/gardenos/pgbouncer-config/pgbouncer.ini ;;
    backup-server) exec pgbackrest server ;;
    *) exec "$role" "$@" ;;
esac
