"""How gunicorn serves GardenOS: `gunicorn -c python:gardenos.gunicorn_conf gardenos.asgi:application`."""

import os
import shutil
from pathlib import Path

os.environ.setdefault("DATABASE_POOL", "on")  # before any worker reads the settings; opened after the fork

from gardenos.databases import data_dir
from gardenos.env import Env

_env = Env()
_data = data_dir(_env, Path(__file__).resolve().parent.parent)
_address = _env.text("GARDENOS_BIND", "127.0.0.1")
_port = _env.integer("GARDENOS_PORT", 8000, least=1, most=65535)

bind = f"[{_address}]:{_port}" if ":" in _address else f"{_address}:{_port}"
workers = _env.integer("WEB_WORKERS", 1, least=1, most=64)
worker_class = "gardenos.worker.WebWorker"
preload_app = False  # a connection pool opened before a fork is shared by parent and children, and hangs
timeout = 60
graceful_timeout = 5  # `make run` promises to be gone within 10 s
keepalive = 5
forwarded_allow_ips = ",".join(_env.items("TRUSTED_PROXIES"))
accesslog = None
errorlog = "-"
loglevel = "warning"
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108  heartbeats off the disk

_shares_metrics = (
    "PROMETHEUS_MULTIPROC_DIR" in os.environ
)  # `manage.py up` keeps one folder for all processes
_metrics = Path(os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", str(_data / "metrics")))


def on_starting(server: object) -> None:
    """Counters of processes that are gone would be added up for ever."""
    if not _shares_metrics:
        shutil.rmtree(_metrics, ignore_errors=True)
    _metrics.mkdir(parents=True, exist_ok=True)


def child_exit(server: object, worker: object) -> None:
    """Take the gauges of a worker that ended out of the sum."""
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(worker.pid)  # type: ignore[attr-defined]
