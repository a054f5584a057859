"""Which connections the NetworkPolicies allow: those of this table, and no other."""

import itertools

import pytest

from tests.deploy.network import End, end_of, may_reach, pod_elsewhere
from tests.deploy.site import Site, rendered

NAME = "app.kubernetes.io/name"
APP = ("web", "live", "worker", "agents")
PORTS = (
    53,
    25,
    80,
    443,
    465,
    587,
    993,
    2379,
    5432,
    5433,
    6379,
    6432,
    6443,
    8000,
    8008,
    8080,
    8089,
    8404,
    8432,
    9090,
)
ELSEWHERE = (
    pod_elsewhere("traefik", "kube-system", NAME, "traefik"),
    pod_elsewhere("dns", "kube-system", "k8s-app", "kube-dns"),
    pod_elsewhere("stranger", "default", NAME, "web"),
    pod_elsewhere("keda", "keda", NAME, "keda-operator"),
    End("internet", address="203.0.113.7"),
    End("node", address="10.0.0.12"),
    End("other-private", address="10.9.0.5"),
    End("metadata", address="169.254.169.254"),
)
PRODUCTION = {
    *((("traefik", app, 8000)) for app in ("web", "live")),
    *((app, "pgbouncer", 6432) for app in APP),
    *((app, "postgres-router", port) for app in APP for port in (5432, 5433)),
    ("migrate", "postgres-router", 5432),
    ("pgbouncer", "postgres-router", 5432),
    *(("postgres-router", "postgres", port) for port in (5432, 8008)),
    *(("postgres", "postgres", port) for port in (5432, 8008)),
    ("postgres", "node", 2379),
    *((app, "internet", 443) for app in ("worker", "agents")),
    *((app, "internet", port) for app in ("web", "worker") for port in (465, 587, 993)),
    *(("prometheus", app, 8000) for app in ("web", "live")),
    ("prometheus", "postgres", 8008),
    ("prometheus", "postgres-router", 8404),
    ("prometheus", "kube-state-metrics", 8080),
    ("kube-state-metrics", "node", 6443),
}
EVERYTHING = PRODUCTION | {
    *((app, "valkey", 6379) for app in APP),
    ("keda", "postgres-router", 5433),
}


def ours(site: Site) -> list[End]:
    return [end_of(pod) for pod in site.pods()]


def allowed(site: Site) -> set[tuple[str, str, int]]:
    """(from, to, port) of all that may be; names are looked up by everybody, which is left out."""
    ends = [*ours(site), *ELSEWHERE]
    inside = {each.name for each in ours(site)}
    return {
        (sender.name, receiver.name, port)
        for sender, receiver in itertools.product(ends, ends)
        if (sender.name in inside or receiver.name in inside) and receiver.name != "dns"
        for port in PORTS
        if (not receiver.ports or receiver.address or port in receiver.ports.values())
        and may_reach(site, sender, receiver, port)
    }


@pytest.mark.parametrize(("name", "table"), [("production", PRODUCTION), ("everything", EVERYTHING)])
def test_exactly_the_connections_of_the_table_are_allowed(name: str, table: set[tuple[str, str, int]]):
    assert allowed(rendered(name)) == table


def test_every_pod_may_look_up_names():
    site = rendered("production")
    dns = ELSEWHERE[1]
    assert [each.name for each in ours(site) if not may_reach(site, each, dns, 53)] == []


def test_without_the_default_everything_would_be_open():
    site = rendered("production")
    site.objects[:] = [each for each in site.objects if each["metadata"]["name"] != "default-deny"]
    assert ("stranger", "migrate", 8000) in allowed(site)


def test_a_policy_of_one_end_alone_opens_nothing():
    site = rendered("production")
    policy = site.one("NetworkPolicy", "pgbouncer")
    policy["spec"]["ingress"] = []
    assert ("web", "pgbouncer", 6432) not in allowed(site)


def test_a_staging_database_asks_the_etcd_of_its_own_nodes():
    site = rendered("staging")
    postgres = end_of(site.pod("postgres"))
    assert may_reach(site, postgres, End("own", address="10.0.1.11"), 2379)
    assert not may_reach(site, postgres, End("production", address="10.0.0.11"), 2379)
