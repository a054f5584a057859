"""The public workflows: what they may do, what they run, and each rule seen to complain."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.site import REPOSITORY, Object

FOLDER = REPOSITORY / ".github" / "workflows"
PINNED = re.compile(r"^[\w.-]+/[\w./-]+@[0-9a-f]{40}$")
# Beyond reading the code: (workflow, job) -> what it may.
MAY = {
    ("images", "build"): {"packages": "write", "id-token": "write", "attestations": "write"},
    ("release", "images"): {"packages": "write", "id-token": "write", "attestations": "write"},
    ("release", "publish"): {"contents": "write", "id-token": "write", "attestations": "write"},
    ("deploy", "deploy"): {"packages": "read", "attestations": "read"},
}
SECRETS = {("deploy", "deploy"): {"KUBECONFIG"}}
BY_HAND_OR_TIME = {"deploy": {"workflow_dispatch"}, "cluster": {"workflow_dispatch", "schedule"}}
Rule = Callable[[dict[str, Object]], Iterator[str]]
RULES: dict[str, Rule] = {}


def rule(function: Rule) -> Rule:
    RULES[function.__name__] = function
    return function


@cache
def _written() -> dict[str, Object]:
    return {path.stem: yaml.safe_load(path.read_text()) for path in FOLDER.glob("*.yml")}


def written() -> dict[str, Object]:
    return deepcopy(_written())


def jobs(workflows: dict[str, Object]) -> Iterator[tuple[str, str, Object]]:
    for name, workflow in workflows.items():
        for job, body in workflow["jobs"].items():
            yield name, job, body


def steps(workflows: dict[str, Object]) -> Iterator[tuple[str, str, Object]]:
    for name, job, body in jobs(workflows):
        for step in body.get("steps", []):
            yield name, job, step


def triggers(workflow: Object) -> set[str]:
    said = workflow[True]  # YAML 1.1 takes `on` for a yes
    return set(said)


@rule
def what_others_wrote_is_pinned(workflows: dict[str, Object]) -> Iterator[str]:
    pins: dict[str, set[str]] = {}
    for name, job, body in jobs(workflows):
        for used in [body.get("uses"), *(step.get("uses") for step in body.get("steps", []))]:
            if not used:
                continue
            if used.startswith("./"):
                if not (REPOSITORY / used).is_file():
                    yield f"{name}.{job} uses {used}, which is not there"
            elif not PINNED.match(used):
                yield f"{name}.{job} uses {used}, which may move"
            else:
                pins.setdefault(used.partition("@")[0], set()).add(used)
        if "container" in body and not re.search(r"@sha256:[0-9a-f]{64}$", body["container"]):
            yield f"{name}.{job} runs in {body['container']}, which may move"
        if "uses" not in body and not re.fullmatch(r"ubuntu-\d\d\.\d\d", body["runs-on"]):
            yield f"{name}.{job} runs on {body['runs-on']}"
    for action, versions in pins.items():
        if len(versions) > 1:
            yield f"{action} is pinned to several versions"


@rule
def nobody_may_more_than_needed(workflows: dict[str, Object]) -> Iterator[str]:
    for name, workflow in workflows.items():
        if workflow.get("permissions") != {"contents": "read"}:
            yield f"{name} may more than read"
        if "pull_request_target" in triggers(workflow):
            yield f"{name} gives strangers' code our rights"
    for name, job, body in jobs(workflows):
        wanted = {"contents": "read"} | MAY.get((name, job), {})
        if body.get("permissions", {"contents": "read"}) != wanted:
            yield f"{name}.{job} may {body.get('permissions')}"
    for name, job, step in steps(workflows):
        if "actions/checkout@" in step.get("uses", "") and (
            step.get("with", {}).get("persist-credentials") is not False
        ):
            yield f"{name}.{job} leaves its token in the checkout"


@rule
def secrets_reach_one_step_by_its_environment(workflows: dict[str, Object]) -> Iterator[str]:
    for name, job, body in jobs(workflows):
        found = set(re.findall(r"secrets\.(\w+)", str(body)))
        if found != SECRETS.get((name, job), set()):
            yield f"{name}.{job} takes the secrets {sorted(found)}"
        if found and not body.get("environment"):
            yield f"{name}.{job} takes secrets without an environment that somebody approves"
        if "secrets." in str(body.get("env", "")):
            yield f"{name}.{job} gives a secret to all of its steps"
    for name, job, step in steps(workflows):
        script = step.get("run", "")
        if "${{" in script:
            yield f"{name}.{job} pastes an expression into a script"
        if re.search(r"set -\w*x|\bbash -x|(echo|cat) .*(TOKEN|KUBECONFIG_TEXT|PASSWORD)(?!=)", script):
            yield f"{name}.{job} would show a secret"


@rule
def jobs_end(workflows: dict[str, Object]) -> Iterator[str]:
    for name, job, body in jobs(workflows):
        if "uses" not in body and not 0 < body.get("timeout-minutes", 0) <= 90:
            yield f"{name}.{job} has no end"
    for name, workflow in workflows.items():
        if "group" not in workflow.get("concurrency", {}):
            yield f"{name} runs beside itself"


@rule
def a_site_changes_by_hand_with_approval_and_one_at_a_time(workflows: dict[str, Object]) -> Iterator[str]:
    deploy = workflows["deploy"]
    if deploy["jobs"]["deploy"].get("environment") != "${{ inputs.site }}":
        yield "nobody approves"
    group = deploy["concurrency"]
    if "inputs.site" not in group["group"] or group.get("cancel-in-progress") is not False:
        yield "two may change a site at once, or one is cut short"
    for name, allowed in BY_HAND_OR_TIME.items():
        if triggers(workflows[name]) != allowed:
            yield f"{name} starts by {sorted(triggers(workflows[name]))}"
    scripts = [step.get("run", "") for step in deploy["jobs"]["deploy"]["steps"]]
    verified = [place for place, script in enumerate(scripts) if "gh attestation verify" in script]
    rolled = [place for place, script in enumerate(scripts) if ".ci/deploy" in script]
    if not verified or not rolled or verified[0] > rolled[0]:
        yield "images are not verified before they serve"


@rule
def what_they_run_is_there(workflows: dict[str, Object]) -> Iterator[str]:
    targets = set(re.findall(r"^([a-z0-9-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    for name, job, step in steps(workflows):
        script = step.get("run", "")
        for target in re.findall(r"^\s*make ([a-z0-9-]+)", script, re.MULTILINE):
            if target not in targets:
                yield f"{name}.{job} makes {target}, which is no target"
        for path in re.findall(r"(?<![\w/])(\.ci/[\w-]+)", script):
            if not os.access(REPOSITORY / path, os.X_OK):
                yield f"{name}.{job} runs {path}, which is not there"
    run = "\n".join(step.get("run", "") for _, _, step in steps(workflows))
    for wanted in ("make check", "make test ", "make check-deploy", "make test-k8s", ".ci/run"):
        if wanted not in f"{run} ":
            yield f"nobody runs {wanted.strip()}"


@rule
def images_carry_where_they_come_from(workflows: dict[str, Object]) -> Iterator[str]:
    build = workflows["images"]["jobs"]["build"]["steps"]
    for image in ("app", "postgres"):
        said = [
            step["with"]
            for step in build
            if f"steps.{image}.outputs.digest" in step.get("with", {}).get("subject-digest", "")
        ]
        if [("sbom-path" in each) for each in said] != [False, True]:
            yield f"{image} lacks its provenance or its list of parts"
    if not any(
        "subject-path" in step.get("with", {}) for step in workflows["release"]["jobs"]["publish"]["steps"]
    ):
        yield "a release lacks its provenance"


def job(workflow: str, name: str, **more: Any) -> Callable[[dict[str, Object]], Any]:
    return lambda all_: all_[workflow]["jobs"][name].update(
        {key.replace("_", "-"): v for key, v in more.items()}
    )


def step(workflow: str, name: str, **more: Any) -> Callable[[dict[str, Object]], Any]:
    return lambda all_: all_[workflow]["jobs"][name]["steps"].append(more)


WAYS: list[tuple[str, Callable[[dict[str, Object]], Any], str]] = [
    ("what_others_wrote_is_pinned", step("ci", "all", uses="actions/checkout@v4"), "which may move"),
    (
        "what_others_wrote_is_pinned",
        step("ci", "lint", uses=f"actions/checkout@{'0' * 40}"),
        "several versions",
    ),
    ("what_others_wrote_is_pinned", job("ci", "all", container="debian:bookworm"), "which may move"),
    ("what_others_wrote_is_pinned", job("ci", "lint", runs_on="ubuntu-latest"), "runs on ubuntu-latest"),
    ("what_others_wrote_is_pinned", job("release", "images", uses="./.github/x.yml"), "which is not there"),
    ("nobody_may_more_than_needed", lambda all_: all_["ci"].pop("permissions"), "ci may more"),
    ("nobody_may_more_than_needed", lambda all_: all_["ci"][True].append("pull_request_target"), "strangers"),
    ("nobody_may_more_than_needed", job("ci", "lint", permissions={"contents": "write"}), "ci.lint may"),
    ("nobody_may_more_than_needed", step("ci", "all", uses="actions/checkout@v4"), "leaves its token"),
    ("secrets_reach_one_step_by_its_environment", step("ci", "all", env={"A": "${{ secrets.A }}"}), "['A']"),
    (
        "secrets_reach_one_step_by_its_environment",
        lambda all_: all_["deploy"]["jobs"]["deploy"].pop("environment"),
        "without an environment",
    ),
    (
        "secrets_reach_one_step_by_its_environment",
        job("deploy", "deploy", env={"A": "${{ secrets.KUBECONFIG }}"}),
        "to all of its steps",
    ),
    (
        "secrets_reach_one_step_by_its_environment",
        step("ci", "all", run="echo ${{ github.head_ref }}"),
        "pastes an expression",
    ),
    ("secrets_reach_one_step_by_its_environment", step("ci", "all", run='echo "$TOKEN"'), "show a secret"),
    ("jobs_end", lambda all_: all_["ci"]["jobs"]["all"].pop("timeout-minutes"), "has no end"),
    ("jobs_end", lambda all_: all_["release"].pop("concurrency"), "runs beside itself"),
    (
        "a_site_changes_by_hand_with_approval_and_one_at_a_time",
        job("deploy", "deploy", environment="x"),
        "nobody approves",
    ),
    (
        "a_site_changes_by_hand_with_approval_and_one_at_a_time",
        lambda all_: all_["deploy"]["concurrency"].update({"cancel-in-progress": True}),
        "cut short",
    ),
    (
        "a_site_changes_by_hand_with_approval_and_one_at_a_time",
        lambda all_: all_["deploy"][True].update(push={}),
        "deploy starts by",
    ),
    (
        "a_site_changes_by_hand_with_approval_and_one_at_a_time",
        lambda all_: all_["deploy"]["jobs"]["deploy"]["steps"].reverse(),
        "not verified before",
    ),
    ("what_they_run_is_there", step("ci", "all", run="make tests"), "no target"),
    ("what_they_run_is_there", step("ci", "all", run=".ci/runs"), "which is not there"),
    ("what_they_run_is_there", lambda all_: all_.pop("manifests"), "nobody runs make test-k8s"),
    (
        "images_carry_where_they_come_from",
        lambda all_: all_["images"]["jobs"]["build"]["steps"].pop(),
        "postgres lacks",
    ),
    (
        "images_carry_where_they_come_from",
        lambda all_: all_["release"]["jobs"]["publish"].update(steps=[]),
        "a release lacks",
    ),
]


@pytest.mark.parametrize("name", RULES)
def test_the_workflows_hold(name: str):
    assert list(RULES[name](written())) == []


@pytest.mark.parametrize(("name", "break_it", "complaint"), WAYS)
def test_a_rule_complains_of_what_breaks_it(name: str, break_it: Callable[..., Any], complaint: str):
    workflows = written()
    break_it(workflows)
    said = list(RULES[name](workflows))
    assert any(complaint in each for each in said), said


def test_every_rule_is_broken_at_least_once():
    assert {name for name, _, _ in WAYS} == RULES.keys()


def test_every_pin_says_which_version_it_is():
    for path in FOLDER.glob("*.yml"):
        for line in path.read_text().splitlines():
            if re.search(r"uses: [\w-]+/", line):
                assert re.search(r"@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), f"{path.name}: {line}"


def test_scripts_in_workflows_pass_shellcheck(tmp_path: Path):
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not here: apt-get install shellcheck")
    for number, (name, job_name, each) in enumerate(steps(written())):
        if script := each.get("run"):
            path = tmp_path / f"{number}-{name}-{job_name}.sh"
            path.write_text(f"#!/bin/bash\nset -e\n# shellcheck disable=SC2086\n{{\n{script}\n}}\n")
    done = subprocess.run(
        ["shellcheck", "--severity=warning", *tmp_path.iterdir()], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


NEW, OLD = (f"ghcr.io/x/gardenos-app@sha256:{digit * 64}" for digit in "ab")


@pytest.fixture
def cluster(tmp_path: Path) -> Path:
    """What `.ci/deploy` needs of the repository, and a kubectl that writes down what it is asked."""
    for name in (
        ".ci/deploy",
        "deploy/release.py",
        "deploy/k8s/overlays/production/release/kustomization.yaml",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, tmp_path / name)
    release = tmp_path / "deploy/k8s/overlays/production/release/kustomization.yaml"
    release.write_text(release.read_text().replace("0" * 64, "c" * 64))
    program = tmp_path / "kubectl"
    program.write_text(
        "#!/bin/sh\n"
        f'serves=$(sed -n "s/.*migrate-\\(.\\).*/\\1/p" {release} | tail -n 1)\n'
        f'case "$*" in\n *"get deployment/web"*) echo "{OLD}" ;;\n *" get "*) ;;\n'
        ' kustomize*) printf "  name: migrate-aaaaaaaaaaaa\\n" ;;\n'
        f' *) echo "$serves $*" >> {tmp_path}/asked\n'
        f'    ! grep -q -F "$(cat {tmp_path}/broken)" {tmp_path}/asked || exit 1 ;;\n'
        "esac\n"
    )
    program.chmod(0o755)
    (tmp_path / "broken").write_text("nothing is")
    return tmp_path


def deployed(cluster: Path) -> tuple[int, list[str]]:
    done = subprocess.run(
        [".ci/deploy", "./kubectl", "production", NEW],
        cwd=cluster,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "sha256" in done.stdout + done.stderr
    asked = [line.split() for line in (cluster / "asked").read_text().splitlines()]
    return done.returncode, [
        f"{words[0]} {next(w for w in words[1:] if w in {'apply', 'wait', 'rollout', 'logs'})}"
        for words in asked
    ]


def test_a_deployment_migrates_then_rolls_out_all_four(cluster: Path):
    assert deployed(cluster) == (0, ["a apply", "a wait", "a apply", *["a rollout"] * 4])


def test_a_deployment_whose_migration_fails_rolls_nothing_out(cluster: Path):
    (cluster / "broken").write_text("job/migrate")
    assert deployed(cluster) == (1, ["a apply", "a wait", "a logs"])


def test_a_deployment_that_is_not_ready_goes_back_to_the_image_of_before(cluster: Path):
    (cluster / "broken").write_text("a --namespace gardenos rollout status deployment/live")
    code, asked = deployed(cluster)
    assert code == 1
    assert asked[:5] == ["a apply", "a wait", "a apply", "a rollout", "a rollout"]
    assert asked[5] == "b apply"
    release = cluster / "deploy/k8s/overlays/production/release/kustomization.yaml"
    assert OLD.rpartition(":")[2] in release.read_text()


def test_a_deployment_of_an_image_without_a_digest_changes_nothing(cluster: Path):
    done = subprocess.run(
        [".ci/deploy", "./kubectl", "production", "ghcr.io/x/gardenos-app:latest"], cwd=cluster, check=False
    )
    assert (done.returncode, (cluster / "asked").exists()) == (2, False)
