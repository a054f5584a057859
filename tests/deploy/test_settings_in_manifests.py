"""Manifests and settings name the same variables, and every Secret that pods read is made."""

import re

import pytest

from deploy.site_secrets import all_secrets
from gardenos.databases import owner_database
from gardenos.settings import GARDENOS_DATA_DIR, env
from tests.deploy.invariants.base import named
from tests.deploy.site import REPOSITORY, Object, Pod, Site, rendered

OF_THE_APP = {"web", "live", "worker", "agents", "migrate"}
OF_PROGRAMS = {"PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "LANG", "PATH"}
# What a site may set in its app.env, or in app-secrets, and need not: the default is right for most.
LEFT_TO_A_SITE = {
    "AI_DAILY_BUDGET_USD",
    "AI_FALLBACK_MODELS",
    "AI_MODEL",
    "AI_PROVIDER",
    "API_RATE_PER_MINUTE",
    "DEFAULT_FROM_EMAIL",
    "GARDENOS_IMPORT_MAX_MB",
    "GARDENOS_IMPORT_MAX_ROWS",
    "MAIL_FOOTER",
    "OPENAI_BASE_URL",
    "QUEUE_BEAT_S",
    "QUEUE_STALE_S",
    "RETENTION_DISQUALIFIED_DAYS",
    "STATIC_URL",
    "TIME_ZONE",
}
# No business of a cluster: the embedded server's programs, more test data, the sample model of `make run`.
NOT_FOR_CLUSTERS = {"GARDENOS_PG_BIN", "GARDENOS_TEST_DATA", "SCRIPTED_LLM_URL"}


def declared() -> set[str]:
    owner_database(env, GARDENOS_DATA_DIR)
    return set(env.readings)


def variables(site: Site, pod: Pod) -> set[str]:
    """Of the pod's own container: written one by one, and by the ConfigMaps it takes whole."""
    [container] = pod.spec["containers"]
    names = {each["name"] for each in container["env"]}
    for source in container["envFrom"]:
        assert source.keys() == {"configMapRef"}, "a whole Secret would bring whatever is in it"
        names |= site.one("ConfigMap", source["configMapRef"]["name"])["data"].keys()
    return names


def app_pods(site: Site) -> list[Pod]:
    return [pod for pod in site.pods() if pod.app in OF_THE_APP]


@pytest.mark.parametrize("name", ["local", "staging", "production", "everything"])
def test_settings_declare_every_variable_that_the_pods_of_the_app_get(name: str):
    site = rendered(name)
    given = {variable for pod in app_pods(site) for variable in variables(site, pod)}
    assert given - declared() - OF_PROGRAMS == set()


def test_pods_get_every_variable_that_settings_declare_or_a_site_may_add_it():
    site = rendered("everything")
    given = {variable for pod in app_pods(site) for variable in variables(site, pod)}
    assert declared() - given == LEFT_TO_A_SITE | NOT_FOR_CLUSTERS


def test_the_image_sets_declared_variables_alone():
    text = (REPOSITORY / "deploy" / "docker" / "app" / "Dockerfile").read_text()
    block = text[text.rindex("\nENV ") : text.rindex("\nLABEL ")]
    assert set(re.findall(r"\b([A-Z_]+)=", block)) - declared() == OF_PROGRAMS


def test_only_the_migration_may_change_tables():
    site = rendered("production")
    owners = [pod.app for pod in app_pods(site) if "DATABASE_OWNER_URL" in variables(site, pod)]
    assert owners == ["migrate"]


def made_secrets() -> dict[tuple[str, str], dict[str, str]]:
    made = all_secrets(
        etcd=dict.fromkeys(("ca.crt", "tls.crt", "tls.key"), "x"),
        etcd_user="patroni",
        etcd_password="x",
        components={"keda", "valkey"},
    )
    return {(namespace, name): values for namespace, name, values in made}


def secret_keys(site: Site) -> set[tuple[str, str, str]]:
    """(namespace, Secret, key) of all that must be there; an optional key may be missing."""
    wanted = set()
    for pod in site.pods():
        for container in pod.containers():
            for variable in container.get("env", []):
                reference: Object = variable.get("valueFrom", {}).get("secretKeyRef", {})
                if reference and not reference.get("optional"):
                    wanted.add((pod.namespace, reference["name"], reference["key"]))
        for volume in pod.spec.get("volumes", []):
            if secret := volume.get("secret"):
                keys = [item["key"] for item in secret.get("items", [])] or [""]
                wanted |= {(pod.namespace, secret["secretName"], key) for key in keys}
    for each in site.of("TriggerAuthentication"):
        for reference in each["spec"]["secretTargetRef"]:
            wanted.add((each["metadata"]["namespace"], reference["name"], reference["key"]))
    return wanted


def test_every_secret_that_pods_read_is_made():
    made = made_secrets()
    keys = secret_keys(rendered("everything"))
    assert len(keys) > 20
    missing = [key for key in keys if key[:2] not in made or (key[2] and key[2] not in made[key[:2]])]
    assert missing == []


def test_secrets_agree_with_each_other():
    made = made_secrets()
    postgres, app = made["gardenos", "postgres-secrets"], made["gardenos", "app-secrets"]
    assert f"gardenos_app:{postgres['APP_PASSWORD']}@pgbouncer:6432/" in app["DATABASE_URL"]
    assert (
        f'"gardenos_app" "{postgres["APP_PASSWORD"]}"' in made["gardenos", "pgbouncer-users"]["userlist.txt"]
    )
    assert postgres["OWNER_PASSWORD"] in made["gardenos", "owner-secrets"]["DATABASE_OWNER_URL"]
    assert made["monitoring", "scrape-token"]["METRICS_TOKEN"] == app["METRICS_TOKEN"]


def test_secrets_are_new_each_time():
    first, second = made_secrets(), made_secrets()
    same = {
        (name, key)
        for (_, name), values in first.items()
        for key, value in values.items()
        if value == second["monitoring" if name == "scrape-token" else "gardenos", name][key]
    }
    assert {name for name, _ in same} <= {"etcd-client", "postgres-secrets"}
    assert {key for name, key in same if name == "postgres-secrets"} == {"ETCD_USERNAME", "ETCD_PASSWORD"}


def test_what_is_read_from_optional_keys_is_said_to_be_optional():
    """A key that deploy/site_secrets.py does not always make must not keep a pod from starting."""
    made = made_secrets()["gardenos", "app-secrets"]
    for pod in app_pods(rendered("production")):
        for variable in pod.spec["containers"][0]["env"]:
            reference = variable["valueFrom"]["secretKeyRef"]
            if reference["name"] == "app-secrets":
                is_made = reference["key"] in made
                assert is_made != reference.get("optional", False), f"{named(pod.owner)}: {variable['name']}"
