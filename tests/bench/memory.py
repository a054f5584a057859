"""Memory of the web processes after some work."""

import http.client

from gardenos.running_alone import free_port
from tests.bench.harness import Row, Server, floor, product, pss_mb, serving
from tests.bench.pages import token_headers
from tests.bench.surroundings import cluster, floor_environment, prepare_floor

REQUESTS = 300


def web_memory_mb() -> Row:
    """PSS of two web workers and their master, beside two bare Django workers."""
    prepare_floor()
    headers = token_headers()
    port, floor_port = free_port(), free_port()
    command, environment = product(port, workers=2)
    with serving(command, port, cluster(), **environment) as server:
        ours = _after_work(server, "/api/v1/leads/?limit=50", headers)
    with serving(floor(workers=2), floor_port, cluster(), **floor_environment()) as server:
        limit = _after_work(server, "/leads", {})
    return Row("web_memory_mb", "MB PSS, 2 workers", ours, limit, REQUESTS)


def _after_work(server: Server, path: str, headers: dict[str, str]) -> float:
    for _ in range(REQUESTS):
        client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)  # any of the workers
        client.request("GET", path, headers=headers)
        client.getresponse().read()
        client.close()
    return pss_mb(server.pids())


JOBS = (web_memory_mb,)
