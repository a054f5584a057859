"""The units of a site on one machine say what the manifests say; each rule is seen to complain."""

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path

import pytest

from deploy import small_site_secrets
from tests.deploy.site import REPOSITORY
from tests.deploy.test_compose import LASTING, NOT_FOR_ONE_MACHINE, SECRET, container, pod_of
from tests.deploy.test_settings_in_manifests import LEFT_TO_A_SITE, NOT_FOR_CLUSTERS, OF_PROGRAMS, declared

FOLDER = REPOSITORY / "deploy" / "systemd"
ROLES = ("web", "live", "worker", "agents", "migrate")
OF_A_SITE = {"SITE_URL", "ALLOWED_HOSTS"}
OF_UNITS = OF_PROGRAMS | {"PROMETHEUS_MULTIPROC_DIR", "BACKUP_KEEP"}
STAND_INS = ("sysinit", "basic", "shutdown", "network-online", "multi-user", "timers")
HARDENED = {
    "NoNewPrivileges": "yes",
    "CapabilityBoundingSet": "",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "PrivateDevices": "yes",
    "RestrictNamespaces": "yes",
    "RestrictSUIDSGID": "yes",
    "SystemCallFilter": "~@privileged @resources",
}

Unit = dict[str, list[str]]  # "Section.Key" -> values in order
Units = dict[str, Unit]
Rule = Callable[[Units], Iterator[str]]
RULES: dict[str, Rule] = {}


def rule(function: Rule) -> Rule:
    RULES[function.__name__] = function
    return function


def read(path: Path) -> Unit:
    unit: Unit = {}
    section = ""
    for line in re.sub(r"\\\n\s*", "", path.read_text()).splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            unit.setdefault(f"{section}.{key}", []).append(value)
    return unit


@cache
def _written() -> Units:
    """By name; services with what gardenos-.service.d gives them all."""
    common = read(FOLDER / "gardenos-.service.d" / "common.conf")
    units = {path.name: read(path) for path in FOLDER.glob("gardenos*.*") if path.is_file()}
    units.pop("gardenos.env.example")
    for name, unit in units.items():
        if name.endswith(".service"):
            for key, values in common.items():
                unit[key] = unit.get(key, []) + values if key in ADDED else unit.get(key, values)
    return units


ADDED = {"Service.Environment", "Service.LoadCredential", "Unit.After"}


def written() -> Units:
    return deepcopy(_written())


def one(unit: Unit, key: str) -> str:
    return unit.get(f"Service.{key}", [""])[-1]


def of(units: Units, role: str) -> Unit:
    return units[f"gardenos-{role}.service"]


def variables(unit: Unit) -> dict[str, str]:
    pairs = [pair for line in unit["Service.Environment"] for pair in line.split()]
    return dict(pair.split("=", 1) for pair in pairs)


def services(units: Units) -> dict[str, Unit]:
    return {name: unit for name, unit in units.items() if name.endswith(".service")}


def example() -> dict[str, str]:
    lines = (FOLDER / "gardenos.env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


@rule
def roles_are_those_of_the_manifests(units: Units) -> Iterator[str]:
    for role in ROLES:
        unit, release = of(units, role), "next" if role == "migrate" else "current"
        [argument] = container(role)["args"]
        wanted = f"/opt/gardenos/{release}/deploy/docker/app/entrypoint.sh {argument}"
        if unit["Service.ExecStart"] != [wanted]:
            yield f"{role} runs {unit['Service.ExecStart']}"
        if one(unit, "MemoryMax") != container(role)["resources"]["limits"]["memory"].removesuffix("i"):
            yield f"{role} has another limit of memory"
        if role == "migrate":
            continue
        if int(one(unit, "TimeoutStopSec")) != pod_of(role).spec["terminationGracePeriodSeconds"]:
            yield f"{role} has another time to end"
        if (one(unit, "Restart"), one(unit, "KillMode")) != ("always", "mixed"):
            yield f"{role} is not started again, or its parts are ended before it"
        if unit.get("Unit.PartOf") != ["gardenos.target"] or unit.get("Install.WantedBy") != [
            "gardenos.target"
        ]:
            yield f"{role} is no part of the target"


@rule
def probes_are_those_of_the_manifests(units: Units) -> Iterator[str]:
    asked = "\n".join(of(units, "check")["Service.ExecStart"])
    for role in ("worker", "agents"):
        if " ".join(container(role)["livenessProbe"]["exec"]["command"]) not in asked:
            yield f"nobody looks at {role}"
    for role in ("web", "live"):
        path = container(role)["readinessProbe"]["httpGet"]["path"]
        if f"127.0.0.1:{variables(of(units, role))['GARDENOS_PORT']}{path}'" not in asked:
            yield f"nobody looks at {role}"


@rule
def services_may_do_little(units: Units) -> Iterator[str]:
    for name, unit in services(units).items():
        if one(unit, "User") != "gardenos":
            yield f"{name} runs as {one(unit, 'User') or 'root'}"
        for key, value in HARDENED.items():
            if f"Service.{key}" not in unit or one(unit, key) != value:
                yield f"{name}: {key} is not {value or 'empty'}"


@rule
def settings_declare_what_services_get(units: Units) -> Iterator[str]:
    given: set[str] = set(example())
    for unit in services(units).values():
        given |= {name.removesuffix("_FILE") for name in variables(unit)}
    for name in sorted(given - declared() - OF_UNITS):
        yield f"{name} is no setting"
    for name in sorted(
        declared() - given - NOT_FOR_ONE_MACHINE - NOT_FOR_CLUSTERS - LEFT_TO_A_SITE - OF_A_SITE
    ):
        yield f"{name} cannot be set" if name != "WEB_WORKERS" else f"{name} is missing in the example"
    owners = sorted(
        name for name, unit in services(units).items() if "OWNER_URL_FILE" in str(variables(unit))
    )
    if owners != ["gardenos-backup.service", "gardenos-migrate.service"]:
        yield f"{owners} may change tables"


@rule
def secrets_are_credentials(units: Units) -> Iterator[str]:
    made = small_site_secrets.values("systemd")
    for name, unit in services(units).items():
        loaded = dict(line.split(":", 1) for line in unit["Service.LoadCredential"])
        for secret, path in loaded.items():
            if path != f"/etc/gardenos/secrets/{secret}" or secret not in made:
                yield f"{name}: nobody makes {path}"
        for variable, value in variables(unit).items():
            if variable.endswith("_FILE"):
                secret = variable.removesuffix("_FILE")
                if value != f"%d/{secret}" or secret not in loaded:
                    yield f"{name}: {variable} names {value}, which it is not given"
            elif SECRET.search(variable):
                yield f"{name}: {variable} is written in plain"
    for variable in example():
        if SECRET.search(variable):
            yield f"{variable} is no matter of gardenos.env"


@rule
def data_lies_in_the_state_directory(units: Units) -> Iterator[str]:
    wanted = {path.removeprefix("/var/lib/") for path in LASTING if "gardenos" in path}
    for name, unit in services(units).items():
        if not wanted <= set(one(unit, "StateDirectory").split()):
            yield f"{name} does not keep {sorted(wanted)}"
        if variables(unit).get("GARDENOS_DATA_DIR") != "/var/lib/gardenos":
            yield f"{name} keeps its data elsewhere"


@rule
def only_the_machine_itself_reaches_the_site(units: Units) -> Iterator[str]:
    caddy = (REPOSITORY / "deploy" / "compose" / "Caddyfile").read_text()
    handled = dict(re.findall(r"handle(?: (/\S+))? \{\n\s+reverse_proxy 127\.0\.0\.1:(\d+)", caddy))
    for role, path in (("web", ""), ("live", "/ws/*")):
        given = variables(of(units, role))
        if given["GARDENOS_PORT"] != handled.get(path):
            yield f"Caddy does not lead to {role}"
        if (given["GARDENOS_BIND"], given["TRUSTED_PROXIES"]) != ("127.0.0.1", "127.0.0.1"):
            yield f"{role} is open to the world, or believes it"


@rule
def timers_start_what_is_there(units: Units) -> Iterator[str]:
    timed = {name.replace(".timer", ".service") for name in units if name.endswith(".timer")}
    for name in sorted(timed - units.keys()):
        yield f"{name} has a timer and is not there"
    for role in ("backup", "check"):
        if f"gardenos-{role}.service" not in timed:
            yield f"nobody starts {role}"


def put(role: str, key: str, value: str) -> Callable[[Units], None]:
    return lambda units: of(units, role).update({f"Service.{key}": [value]})


def more(role: str, key: str, value: str) -> Callable[[Units], None]:
    return lambda units: of(units, role)[f"Service.{key}"].append(value)


WAYS: list[tuple[str, Callable[[Units], object], str]] = [
    ("roles_are_those_of_the_manifests", put("web", "ExecStart", "gunicorn"), "web runs"),
    ("roles_are_those_of_the_manifests", put("agents", "MemoryMax", "2G"), "another limit"),
    ("roles_are_those_of_the_manifests", put("worker", "TimeoutStopSec", "10"), "another time to end"),
    ("roles_are_those_of_the_manifests", put("worker", "KillMode", "control-group"), "ended before it"),
    ("roles_are_those_of_the_manifests", lambda units: of(units, "live").pop("Unit.PartOf"), "no part"),
    (
        "probes_are_those_of_the_manifests",
        lambda units: of(units, "check")["Service.ExecStart"].pop(),
        "nobody looks at agents",
    ),
    ("probes_are_those_of_the_manifests", more("live", "Environment", "GARDENOS_PORT=8002"), "at live"),
    ("services_may_do_little", lambda units: of(units, "web").pop("Service.User"), "runs as root"),
    ("services_may_do_little", put("backup", "ProtectSystem", "no"), "ProtectSystem is not strict"),
    (
        "services_may_do_little",
        lambda units: of(units, "check").pop("Service.CapabilityBoundingSet"),
        "is not empty",
    ),
    ("settings_declare_what_services_get", more("web", "Environment", "AI_MODDEL=x"), "is no setting"),
    (
        "settings_declare_what_services_get",
        lambda units: [
            unit.update({"Service.Environment": unit["Service.Environment"][:1]})
            for unit in services(units).values()
        ],
        "cannot be set",
    ),
    (
        "settings_declare_what_services_get",
        more("web", "Environment", "DATABASE_OWNER_URL_FILE=%d/DATABASE_OWNER_URL"),
        "may change tables",
    ),
    ("secrets_are_credentials", more("web", "Environment", "OPENAI_API_KEY=sk-1"), "in plain"),
    ("secrets_are_credentials", put("web", "LoadCredential", "X:/etc/x"), "nobody makes"),
    ("secrets_are_credentials", put("web", "LoadCredential", "X:/etc/x"), "which it is not given"),
    ("data_lies_in_the_state_directory", put("web", "StateDirectory", "gardenos"), "does not keep"),
    (
        "data_lies_in_the_state_directory",
        more("web", "Environment", "GARDENOS_DATA_DIR=/tmp"),
        "keeps its data elsewhere",
    ),
    (
        "only_the_machine_itself_reaches_the_site",
        more("web", "Environment", "GARDENOS_BIND=0.0.0.0"),
        "open to the world",
    ),
    (
        "only_the_machine_itself_reaches_the_site",
        more("live", "Environment", "GARDENOS_PORT=9"),
        "does not lead to live",
    ),
    ("timers_start_what_is_there", lambda units: units.pop("gardenos-backup.service"), "not there"),
    ("timers_start_what_is_there", lambda units: units.pop("gardenos-backup.timer"), "nobody starts"),
]


@pytest.mark.parametrize("name", RULES)
def test_the_units_hold(name: str):
    assert list(RULES[name](written())) == []


@pytest.mark.parametrize(("name", "break_it", "complaint"), WAYS)
def test_a_rule_complains_of_what_breaks_it(name: str, break_it: Callable[[Units], object], complaint: str):
    units = written()
    break_it(units)
    said = list(RULES[name](units))
    assert any(complaint in each for each in said), said


def test_every_rule_is_broken_at_least_once():
    assert {name for name, _, _ in WAYS} == RULES.keys()


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A root with the units, and stand-ins of what they need of a machine."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not here: apt-get install systemd")
    units = tmp_path / "etc" / "systemd" / "system"
    shutil.copytree(FOLDER, units)
    standard = tmp_path / "usr" / "lib" / "systemd" / "system"
    standard.mkdir(parents=True)
    for name in STAND_INS:
        (standard / f"{name}.target").write_text("[Unit]\nDescription=stand-in\n")
    (standard / "-.slice").write_text("[Unit]\nDescription=stand-in\n[Slice]\n")
    programs = {
        line.split()[0] for unit in services(written()).values() for line in unit["Service.ExecStart"]
    }
    for program in programs:
        place = tmp_path / program.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("#!/bin/sh\n")
        place.chmod(0o755)
    return tmp_path


def analyze(machine: Path, verb: str, *words: str) -> subprocess.CompletedProcess[str]:
    units = sorted(path.name for path in FOLDER.glob("gardenos*.[st]*") if not path.is_dir())
    if verb == "security":
        units = [name for name in units if name.endswith(".service")]
    return subprocess.run(
        ["systemd-analyze", verb, f"--root={machine}", *words, *units],
        cwd=machine / "etc" / "systemd" / "system",
        capture_output=True,
        text=True,
        check=False,
    )


def test_systemd_reads_every_unit_without_a_complaint(machine: Path):
    said = analyze(machine, "verify")
    assert (said.returncode, said.stderr) == (0, "")


def test_systemd_complains_of_a_misspelt_key(machine: Path):
    path = machine / "etc" / "systemd" / "system" / "gardenos-.service.d" / "common.conf"
    path.write_text(path.read_text().replace("ProtectHome=", "ProtectHme="))
    assert "ProtectHme" in analyze(machine, "verify").stderr


def test_systemd_finds_services_little_exposed(machine: Path):
    """2.0 of 10 is the limit; an unhardened service has 9 and more."""
    said = analyze(machine, "security", "--offline=true", "--threshold=20", "--no-pager")
    assert said.returncode == 0, said.stdout[-400:]
    path = machine / "etc" / "systemd" / "system" / "gardenos-.service.d" / "common.conf"
    path.write_text(
        path.read_text().replace("ProtectSystem=strict", "").replace("CapabilityBoundingSet=", "")
    )
    assert analyze(machine, "security", "--offline=true", "--threshold=20", "--no-pager").returncode == 1


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """/opt/gardenos with two releases, and a systemctl that writes down what it is asked."""
    for name in ("aaa", "bbb"):
        (tmp_path / "releases" / name).mkdir(parents=True)
        (tmp_path / "releases" / name / "BUILD_SHA").write_text(name)
    (tmp_path / "current").symlink_to(tmp_path / "releases" / "aaa")
    (tmp_path / "next").symlink_to(tmp_path / "releases" / "bbb")
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "systemctl"
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n! test -e {tmp_path}/broken\n')
    program.chmod(0o755)
    return tmp_path


def switch(home: Path, *words: str) -> tuple[int, list[str], str]:
    done = subprocess.run(
        [FOLDER / "switch-release", *words],
        env={"GARDENOS_HOME": str(home), "PATH": f"{home / 'bin'}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    asked = (home / "asked").read_text().splitlines() if (home / "asked").exists() else []
    return done.returncode, asked, (home / "current").resolve().name


def test_a_release_migrates_before_it_serves(home: Path):
    steps = ["start gardenos-migrate.service", "daemon-reload", "restart gardenos.target"]
    assert switch(home) == (0, steps, "bbb")


def test_a_release_whose_migration_fails_does_not_serve(home: Path):
    (home / "broken").touch()
    assert switch(home) == (1, ["start gardenos-migrate.service"], "aaa")


def test_the_way_back_changes_no_table(home: Path):
    switch(home)
    (home / "asked").unlink()
    assert switch(home, "aaa") == (0, ["daemon-reload", "restart gardenos.target"], "aaa")


def test_a_release_that_is_not_whole_does_not_serve(home: Path):
    (home / "releases" / "bbb" / "BUILD_SHA").unlink()
    assert switch(home) == (2, [], "aaa")
    assert switch(home, "bbb") == (2, [], "aaa")


def test_a_command_runs_as_the_site_with_its_settings_and_no_secret_among_its_words(home: Path):
    made = small_site_secrets.values("systemd")
    (home / "secrets").mkdir()
    for name, (text, _) in made.items():
        (home / "secrets" / name).write_text(text)
    (home / "gardenos.env").write_text(
        '# a site\nSITE_URL=https://x\nDEFAULT_FROM_EMAIL="Pond <p@x>"\nMAIL_FOOTER=a b\n'
    )
    program = home / "bin" / "runuser"
    program.write_text('#!/bin/sh\necho "$@"\nenv\n')
    program.chmod(0o755)
    done = subprocess.run(
        [FOLDER / "manage", "doctor", "--json"],
        env={"GARDENOS_HOME": str(home), "GARDENOS_ETC": str(home), "PATH": f"{home / 'bin'}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    words, *lines = done.stdout.splitlines()
    assert words == "-u gardenos -- deploy/docker/app/entrypoint.sh manage doctor --json"
    given = dict(line.split("=", 1) for line in lines)
    assert given.keys() - declared() <= {"PATH", "PWD", "OLDPWD", "SHLVL", "_"}
    assert given["DATABASE_URL"] == made["DATABASE_URL"][0]
    assert (given["DEFAULT_FROM_EMAIL"], given["MAIL_FOOTER"]) == ("Pond <p@x>", "a b")
    common = {
        name
        for line in read(FOLDER / "gardenos-.service.d" / "common.conf")["Service.LoadCredential"]
        for name in [line.partition(":")[0]]
    }
    assert common <= given.keys()
