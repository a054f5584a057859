#!/bin/sh
# What this container is. Migrations run as a role of their own, never on the way to another.
set -eu
role=${1:-web}
[ $# -eq 0 ] || shift
umask 0077
case "$role" in
    web | live) exec gunicorn -c python:gardenos.gunicorn_conf gardenos.asgi:application "$@" ;;
    worker) exec python manage.py qcluster_watch --cluster default "$@" ;;
    agents) exec python manage.py qcluster_watch --cluster ai "$@" ;;
    migrate) exec python manage.py migrate --noinput "$@" ;;
    manage) exec python manage.py "$@" ;;
    *) exec "$role" "$@" ;;
esac
