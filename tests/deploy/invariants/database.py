"""The database cluster and what stands before it."""

import re
from collections.abc import Iterator

import yaml

from tests.deploy.invariants.base import invariant, named
from tests.deploy.site import Object, Site, inventory


def patroni(site: Site) -> Object:
    return yaml.safe_load(site.file("patroni", "patroni.yml"))


@invariant
def patroni_knows_one_store_and_it_is_etcd_3_over_tls(site: Site) -> Iterator[str]:
    config = patroni(site)
    stores = config.keys() & {"etcd", "etcd3", "consul", "zookeeper", "kubernetes", "raft", "exhibitor"}
    if stores != {"etcd3"}:
        yield f"Patroni's stores are {sorted(stores)}"
    if config.get("etcd3", {}).get("protocol") != "https" or not config["etcd3"].get("cacert"):
        yield "etcd is asked without TLS"
    for each in site.of("ConfigMap"):
        for name, text in each.get("data", {}).items():
            if re.search(r"http://[^\s]*:2379", text):
                yield f"{named(each)}, {name}: an etcd without TLS"


@invariant
def patronis_times_fit_each_other(site: Site) -> Iterator[str]:
    dcs = patroni(site)["bootstrap"]["dcs"]
    if dcs["ttl"] != 20 or dcs["loop_wait"] + 2 * dcs["retry_timeout"] > dcs["ttl"]:
        yield "ttl must be 20, and loop_wait + 2 * retry_timeout at most that"
    if (
        dcs["synchronous_mode"] != "quorum"
        or dcs["failsafe_mode"] is not True
        or dcs["primary_start_timeout"] != 0
    ):
        yield "quorum, failsafe_mode and primary_start_timeout 0 are what failover was measured with"


@invariant
def the_database_lets_in_by_tls_from_our_networks_alone(site: Site) -> Iterator[str]:
    config, networks = patroni(site), inventory()["networks"]
    for place in (config["bootstrap"]["dcs"].get("postgresql", {}), config["bootstrap"]):
        if "pg_hba" in place:
            yield "pg_hba is written in two places"
    for line in config["postgresql"]["pg_hba"]:
        kind, *_, method = line.split()
        if kind not in {"local", "hostssl"} or method != "scram-sha-256":
            yield f"pg_hba: {line}"
        if kind == "hostssl" and line.split()[3] not in {networks["pods"], networks["nodes"]}:
            yield f"pg_hba: {line.split()[3]} is no network of the inventory"


@invariant
def members_come_back_by_themselves_and_soon(site: Site) -> Iterator[str]:
    config = patroni(site)["postgresql"]
    reads_own = any(line.split()[:2] == ["local", "replication"] for line in config["pg_hba"])
    if config.get("use_unix_socket_repl") is not True or not reads_own:
        yield "a standby cannot read its own timeline"
    if config.get("basebackup") != {"checkpoint": "fast"}:
        yield "a member that is made anew waits minutes for a checkpoint"


@invariant
def no_script_of_the_image_runs_at_bootstrap_as_a_user(site: Site) -> Iterator[str]:
    if "users" in patroni(site)["bootstrap"]:
        yield "bootstrap.users is gone from Patroni; roles are made by make-roles"


@invariant
def etcd_is_that_of_the_place(site: Site) -> Iterator[str]:
    [place] = [
        each for each in site.of("ConfigMap") if each["metadata"]["name"].startswith("postgres-place-")
    ]
    environment = {"everything": "production"}.get(site.name, site.name)
    if not re.fullmatch(rf"gardenos-{environment}-\d+", place["data"]["PATRONI_SCOPE"]):
        yield "the scope names neither its place nor its generation"
    if environment == "production":
        wanted = ",".join(f"{node['address']}:2379" for node in inventory()["nodes"])
        if place["data"]["PATRONI_ETCD3_HOSTS"] != wanted:
            yield f"etcd is not that of the inventory ({wanted})"


@invariant
def statistics_of_haproxy_are_private(site: Site) -> Iterator[str]:
    text = site.file("haproxy", "haproxy.cfg")
    binds = re.findall(r"^\s*bind\s+(\S*):8404", text, re.MULTILINE)
    if binds != ['"${HAPROXY_STATS_BIND}"']:
        yield f"statistics are bound to {binds}"
    if 'stats auth "operator:${HAPROXY_STATS_PASSWORD}"' not in text or "prometheus-exporter" not in text:
        yield "statistics have no password, or Prometheus has no address"
    for service in site.of("Service"):
        if service["spec"].get("type", "ClusterIP") != "ClusterIP":
            yield f"{named(service)} is open to the outside"


@invariant
def haproxy_asks_as_it_was_measured(site: Site) -> Iterator[str]:
    text = site.file("haproxy", "haproxy.cfg")
    for words in (
        "inter 1s downinter 500ms fall 2 rise 1",
        "observe layer4 error-limit 1 on-error mark-down",
        "retries 0",
        "on-marked-down shutdown-sessions",
        "OPTIONS /primary",
        "/replica?lag=",
    ):
        if words not in text:
            yield f"haproxy.cfg lacks {words!r}"
    if len(re.findall(r"^\s+server postgres-\d ", text, re.MULTILINE)) != 6:
        yield "haproxy.cfg does not name three members for writing and three for reading"
