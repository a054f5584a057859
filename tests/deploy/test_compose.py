"""The compose file of a site on one machine says what the manifests say; each rule is seen to complain."""

import re
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy import small_site_secrets
from tests.deploy.site import REPOSITORY, Object, Pod, rendered
from tests.deploy.test_settings_in_manifests import LEFT_TO_A_SITE, NOT_FOR_CLUSTERS, declared

FOLDER = REPOSITORY / "deploy" / "compose"
ROLES = ("web", "live", "worker", "agents", "migrate")
# A replica and PgBouncer are matters of a cluster; the pool of web is on by default; files lie on a volume.
NOT_FOR_ONE_MACHINE = {"DATABASE_READ_URL", "DATABASE_LISTEN_URL", "DATABASE_POOL", "STORAGE_URL"}
OF_COMPOSE = {"COMPOSE_PROFILES"}
LASTING = {
    "/var/lib/postgresql/data": "database",
    "/var/lib/gardenos/files": "files",
    "/var/lib/gardenos/ledger": "ledger",
}
SECRET = re.compile(
    r"PASSWORD|SECRET(?!S)|_KEY$|TOKEN|PEPPER|DATABASE.*URL$|EMAIL_URL$|CACHE_URL$|LAYER_URL$"
)
Rule = Callable[[Object], Iterator[str]]
RULES: dict[str, Rule] = {}


def rule(function: Rule) -> Rule:
    RULES[function.__name__] = function
    return function


@cache
def _written() -> Object:
    return yaml.safe_load((FOLDER / "compose.yaml").read_text())


def written() -> Object:
    return deepcopy(_written())


def example() -> dict[str, str]:
    lines = (FOLDER / ".env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def image(service: Object) -> str:
    """As the example fills it in."""
    return re.sub(r"\$\{(\w+)[^}]*\}", lambda found: example().get(found[1], ""), service["image"])


def variables(service: Object) -> set[str]:
    return {name.removesuffix("_FILE") for name in service.get("environment", {})}


@cache
def pod_of(role: str) -> Pod:
    return rendered("everything").pod(role)


def container(role: str) -> Object:
    return pod_of(role).spec["containers"][0]


def seconds(span: str) -> int:
    return int(span.removesuffix("s"))


@rule
def roles_are_those_of_the_manifests(site: Object) -> Iterator[str]:
    for role in ROLES:
        service, pod = site["services"][role], pod_of(role)
        if service["command"] != container(role)["args"]:
            yield f"{role} runs {service['command']}"
        if seconds(service["stop_grace_period"]) != pod.spec["terminationGracePeriodSeconds"]:
            yield f"{role} has another time to end"
        if service["mem_limit"] != container(role)["resources"]["limits"]["memory"].lower().removesuffix("i"):
            yield f"{role} has another limit of memory"
        if (service["restart"] == "no") != (role == "migrate"):
            yield f"{role} is restarted {service['restart']}"


@rule
def images_are_pinned_alike(site: Object) -> Iterator[str]:
    valkey = container("valkey")["image"]
    for name, service in site["services"].items():
        if not re.search(r"@sha256:[0-9a-f]{64}$", image(service)):
            yield f"{name} runs {image(service)}, without a digest"
        app = "gardenos-app@" in image(service)
        if app != (name in ROLES):
            yield f"{name} runs another image than the manifests"
        if name == "valkey" and image(service) != valkey:
            yield "Valkey is another one than the manifests'"


@rule
def services_are_restricted(site: Object) -> Iterator[str]:
    users = {"postgres": "postgres", "valkey": "valkey"}
    for name, service in site["services"].items():
        pod = pod_of(users.get(name, "web"))
        user = pod.spec["securityContext"]["runAsUser"]
        if service.get("user") != f"{user}:{user}":
            yield f"{name} runs as {service.get('user')}"
        if service.get("read_only") is not True or service.get("cap_drop") != ["ALL"]:
            yield f"{name} may write its root or has capabilities"
        if service.get("security_opt") != ["no-new-privileges:true"] or service.get("privileged"):
            yield f"{name} may gain rights"
        if {"network_mode", "pid", "ipc", "cap_add", "devices"} & service.keys():
            yield f"{name} uses the machine's namespaces"


@rule
def probes_are_those_of_the_manifests(site: Object) -> Iterator[str]:
    for role in ("worker", "agents"):
        check, probe = site["services"][role]["healthcheck"], container(role)["livenessProbe"]
        said = (
            check["test"][1:],
            *(seconds(check[key]) for key in ("interval", "timeout")),
            check["retries"],
        )
        wanted = tuple(probe[key] for key in ("periodSeconds", "timeoutSeconds", "failureThreshold"))
        if said != (probe["exec"]["command"], *wanted):
            yield f"{role} is probed otherwise"
    for role in ("web", "live"):
        check, probe = site["services"][role]["healthcheck"], container(role)["readinessProbe"]
        said = (seconds(check["interval"]), check["retries"])
        if said != (probe["periodSeconds"], probe["failureThreshold"]) or not any(
            f"127.0.0.1:8000{probe['httpGet']['path']}" in word for word in check["test"]
        ):
            yield f"{role} is probed otherwise"
    for role in ("web", "live", "worker", "agents"):
        probe = container(role)["startupProbe"]
        patience = seconds(site["services"][role]["healthcheck"]["start_period"])
        if patience != probe["periodSeconds"] * probe["failureThreshold"]:
            yield f"{role} has another time to begin"
    for name, service in site["services"].items():
        if service["restart"] != "no" and "healthcheck" not in service:
            yield f"{name} has no probe"


@rule
def settings_declare_what_the_app_gets(site: Object) -> Iterator[str]:
    given = {variable for role in ROLES for variable in variables(site["services"][role])}
    for name in sorted(given - declared()):
        yield f"{name} is no setting"
    for name in sorted(declared() - given - NOT_FOR_ONE_MACHINE - NOT_FOR_CLUSTERS):
        yield f"{name} cannot be set"
    owners = [role for role in ROLES if "DATABASE_OWNER_URL" in variables(site["services"][role])]
    if owners != ["migrate"]:
        yield f"{owners} may change tables"


@rule
def secrets_are_files(site: Object) -> Iterator[str]:
    for name, service in site["services"].items():
        for variable, value in service.get("environment", {}).items():
            if variable.endswith("_FILE"):
                secret = value.removeprefix("/run/secrets/")
                if value != f"/run/secrets/{secret}" or secret not in service["secrets"]:
                    yield f"{name}: {variable} names {value}, which it is not given"
            elif SECRET.search(variable):
                yield f"{name}: {variable} is written in plain"
        for secret in service.get("secrets", []):
            if secret not in site["secrets"]:
                yield f"{name} wants the secret {secret}, which is not there"
    for name, secret in site["secrets"].items():
        if not secret.get("file", "").endswith(f"}}/{name}"):
            yield f"the secret {name} is not in the folder of secrets"


@rule
def data_lies_on_volumes(site: Object) -> Iterator[str]:
    for name, service in site["services"].items():
        fleeting = {each.partition(":")[0] for each in service.get("tmpfs", [])}
        named = [each for each in service.get("volumes", []) if isinstance(each, dict)]
        lasting = {each["target"]: each["source"] for each in named}
        for path, volume in LASTING.items():
            needed = path.startswith("/var/lib/postgresql") == (name == "postgres") and name not in {
                "valkey",
                "backup",
            }
            if path in fleeting or (needed and lasting.get(path) != volume):
                yield f"{name}: {path} would be gone with the container"
    if set(LASTING.values()) != site["volumes"].keys():
        yield "a volume is missing"


@rule
def only_the_machine_itself_reaches_the_site(site: Object) -> Iterator[str]:
    gateway = site["networks"]["outside"]["ipam"]["config"][0]["gateway"]
    if site["networks"]["inside"] != {"internal": True}:
        yield "the network inside leads outside"
    for name, service in site["services"].items():
        for port in service.get("ports", []):
            if not port.startswith("127.0.0.1:"):
                yield f"{name} is open to the world by {port}"
        if name in {"postgres", "valkey"} and (service["networks"] != ["inside"] or "ports" in service):
            yield f"{name} is reached from outside"
        if name in ROLES and service["environment"]["TRUSTED_PROXIES"] != gateway:
            yield f"{name} believes others than the machine's own proxy"


def service(name: str, **more: Any) -> Callable[[Object], Any]:
    return lambda site: site["services"][name].update(more)


def drop(name: str, key: str) -> Callable[[Object], Any]:
    return lambda site: site["services"][name].pop(key)


def variable(name: str, key: str, value: str) -> Callable[[Object], Any]:
    return lambda site: site["services"][name]["environment"].update({key: value})


def probe(name: str, **more: Any) -> Callable[[Object], Any]:
    return lambda site: site["services"][name]["healthcheck"].update(more)


WAYS: list[tuple[str, Callable[[Object], Any], str]] = [
    ("roles_are_those_of_the_manifests", service("web", command=["gunicorn"]), "web runs"),
    ("roles_are_those_of_the_manifests", service("agents", stop_grace_period="10s"), "another time to end"),
    ("roles_are_those_of_the_manifests", service("live", mem_limit="2g"), "another limit"),
    ("roles_are_those_of_the_manifests", service("migrate", restart="always"), "restarted always"),
    ("images_are_pinned_alike", service("web", image="gardenos-app:latest"), "without a digest"),
    ("images_are_pinned_alike", service("postgres", image="${APP_IMAGE}"), "another image"),
    ("images_are_pinned_alike", service("valkey", image="x@sha256:" + "0" * 64), "Valkey is another"),
    ("services_are_restricted", drop("worker", "user"), "worker runs as None"),
    ("services_are_restricted", drop("web", "read_only"), "may write its root"),
    ("services_are_restricted", service("postgres", cap_drop=[]), "capabilities"),
    ("services_are_restricted", service("valkey", privileged=True), "may gain rights"),
    ("services_are_restricted", service("web", network_mode="host"), "the machine's namespaces"),
    ("probes_are_those_of_the_manifests", probe("agents", interval="10s"), "agents is probed otherwise"),
    ("probes_are_those_of_the_manifests", probe("live", test=["CMD", "true"]), "live is probed otherwise"),
    ("probes_are_those_of_the_manifests", probe("web", start_period="5s"), "another time to begin"),
    ("probes_are_those_of_the_manifests", drop("valkey", "healthcheck"), "valkey has no probe"),
    ("settings_declare_what_the_app_gets", variable("web", "AI_MODDEL", "x"), "AI_MODDEL is no setting"),
    (
        "settings_declare_what_the_app_gets",
        lambda site: [site["services"][role]["environment"].pop("TIME_ZONE", "") for role in ROLES],
        "TIME_ZONE cannot be set",
    ),
    (
        "settings_declare_what_the_app_gets",
        variable("web", "DATABASE_OWNER_URL_FILE", "/run/secrets/DATABASE_OWNER_URL"),
        "may change tables",
    ),
    ("secrets_are_files", variable("web", "OPENAI_API_KEY", "sk-1"), "in plain"),
    ("secrets_are_files", service("web", secrets=[]), "which it is not given"),
    ("secrets_are_files", lambda site: site["secrets"].pop("SECRET_KEY"), "which is not there"),
    (
        "secrets_are_files",
        lambda site: site["secrets"].update(SECRET_KEY={"environment": "SECRET_KEY"}),
        "not in the folder",
    ),
    ("data_lies_on_volumes", service("web", volumes=[]), "would be gone"),
    ("data_lies_on_volumes", service("postgres", tmpfs=["/var/lib/postgresql/data"]), "would be gone"),
    ("data_lies_on_volumes", lambda site: site["volumes"].pop("ledger"), "a volume is missing"),
    ("only_the_machine_itself_reaches_the_site", service("web", ports=["8000:8000"]), "open to the world"),
    (
        "only_the_machine_itself_reaches_the_site",
        service("postgres", networks=["inside", "outside"]),
        "postgres is reached",
    ),
    (
        "only_the_machine_itself_reaches_the_site",
        variable("web", "TRUSTED_PROXIES", "0.0.0.0/0"),
        "believes others",
    ),
    (
        "only_the_machine_itself_reaches_the_site",
        lambda site: site["networks"].update(inside={}),
        "leads outside",
    ),
]


@pytest.mark.parametrize("name", RULES)
def test_the_compose_file_holds(name: str):
    assert list(RULES[name](written())) == []


@pytest.mark.parametrize(("name", "break_it", "complaint"), WAYS)
def test_a_rule_complains_of_what_breaks_it(name: str, break_it: Callable[[Object], Any], complaint: str):
    site = written()
    break_it(site)
    said = list(RULES[name](site))
    assert any(complaint in each for each in said), said


def test_every_rule_is_broken_at_least_once():
    assert {name for name, _, _ in WAYS} == RULES.keys()


def test_the_example_has_every_variable_that_is_filled_in_and_no_secret():
    text = (FOLDER / "compose.yaml").read_text()
    assert set(re.findall(r"\$\{(\w+)", text)) == example().keys() - OF_COMPOSE
    assert example().keys() > LEFT_TO_A_SITE
    assert [name for name in example() if SECRET.search(name)] == []


def test_secrets_are_made_for_every_file_that_is_named_and_readable_by_its_container_alone():
    made = small_site_secrets.values("compose", valkey=True)
    assert made.keys() == written()["secrets"].keys()
    for service in written()["services"].values():
        owner = int(service["user"].partition(":")[0])
        assert {made[name][1] for name in service.get("secrets", [])} <= {owner}
    assert f"gardenos_app:{made['APP_PASSWORD'][0]}@postgres:5432" in made["DATABASE_URL"][0]
    assert f"gardenos_owner:{made['OWNER_PASSWORD'][0]}@" in made["DATABASE_OWNER_URL"][0]
    assert f":{made['VALKEY_PASSWORD'][0]}@valkey:6379" in made["CACHE_URL"][0]


def test_secrets_that_are_there_are_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert small_site_secrets.main([str(tmp_path / "made"), "--for", "systemd"]) == 0
    kept = (tmp_path / "made" / "SECRET_KEY").read_text()
    assert (tmp_path / "made" / "SECRET_KEY").stat().st_mode & 0o777 == 0o400
    assert small_site_secrets.main([str(tmp_path / "made"), "--for", "systemd"]) == 2
    assert (tmp_path / "made" / "SECRET_KEY").read_text() == kept
    assert kept not in "".join(capsys.readouterr())


def test_figures_of_the_database_are_those_of_the_cluster():
    lines = (FOLDER / "postgres" / "postgresql.conf").read_text().splitlines()
    own = dict(line.split(" = ") for line in lines if not line.startswith("#"))
    patroni = yaml.safe_load(rendered("production").file("patroni", "patroni.yml"))
    cluster = patroni["bootstrap"]["dcs"]["postgresql"]["parameters"] | patroni["postgresql"]["parameters"]
    shared = own.keys() & cluster.keys()
    assert len(shared) > 15
    assert {name: own[name].strip("'") for name in shared} == {name: str(cluster[name]) for name in shared}
    assert {"fsync", "full_page_writes", "synchronous_commit"} & own.keys() == set()


def test_valkey_is_started_as_in_the_manifests():
    [said] = written()["services"]["valkey"]["command"]
    [wanted] = container("valkey")["args"]
    assert said.replace("$$(cat /run/secrets/VALKEY_PASSWORD)", "$VALKEY_PASSWORD") == wanted


def test_the_database_lets_nobody_in_without_a_password():
    lines = (FOLDER / "postgres" / "pg_hba.conf").read_text().splitlines()
    rules = [line.split() for line in lines if line and not line.startswith("#")]
    assert [each[-1] for each in rules] == ["scram-sha-256"] * 2
    assert [each[3] for each in rules if each[0] == "host"] == ["samenet"]
