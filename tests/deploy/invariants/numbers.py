"""How many there are, where, and under which names."""

import re
from collections.abc import Iterator
from typing import Any

from tests.deploy.invariants.base import invariant, named, replicas
from tests.deploy.site import Object, Site, matches

RECOMMENDED = ("name", "instance", "part-of", "managed-by")


@invariant
def a_site_survives_the_loss_of_a_node(site: Site) -> Iterator[str]:
    if site.name == "local":
        return
    least = {
        "web": 2,
        "live": 2,
        "worker": 2,
        "agents": 1,
        "postgres": 3,
        "postgres-router": 2,
        "pgbouncer": 2,
    }
    scalers = {
        each["spec"]["scaleTargetRef"]["name"]: each["spec"].get(
            "minReplicas", each["spec"].get("minReplicaCount", 0)
        )
        for each in site.of("HorizontalPodAutoscaler", "ScaledObject")
    }
    for pod in site.pods():
        if pod.app in least and scalers.get(pod.app, replicas(pod)) < least[pod.app]:
            yield f"{pod.name} has fewer than {least[pod.app]}"
        if pod.app in scalers and "replicas" in pod.owner["spec"]:
            yield f"{pod.name} has a number of replicas that its scaler would fight"
    [data] = site.one("StatefulSet", "postgres")["spec"]["volumeClaimTemplates"]
    if not re.fullmatch(r"[1-9]\d+Gi", data["spec"]["resources"]["requests"]["storage"]):
        yield "a database member has less than 10Gi"


@invariant
def what_must_not_share_a_node_does_not(site: Site) -> Iterator[str]:
    for pod in site.pods():
        if pod.app not in {"web", "live", "worker", "agents", "postgres", "postgres-router", "pgbouncer"}:
            continue
        wanted = "DoNotSchedule" if pod.app in {"postgres", "postgres-router"} else "ScheduleAnyway"
        if site.name == "local" and pod.app == "postgres-router":
            wanted = "ScheduleAnyway"
        for each in pod.spec.get("topologySpreadConstraints", [{}]):
            spread = (each.get("topologyKey"), each.get("whenUnsatisfiable"))
            if spread != ("kubernetes.io/hostname", wanted) or not matches(each["labelSelector"], pod.labels):
                yield f"{pod.name} is not spread over the nodes ({wanted})"


@invariant
def every_replicated_workload_has_a_disruption_budget(site: Site) -> Iterator[str]:
    for pod in site.pods():
        if pod.app not in {"web", "live", "worker", "agents", "postgres", "postgres-router", "pgbouncer"}:
            continue
        budgets = [
            each["spec"]
            for each in site.of("PodDisruptionBudget")
            if each["metadata"]["namespace"] == pod.namespace
            and matches(each["spec"]["selector"], pod.labels)
        ]
        if [budget.get("maxUnavailable") for budget in budgets] != [1]:
            yield f"{pod.name} has not exactly one budget of one pod"


@invariant
def every_object_carries_the_recommended_labels(site: Site) -> Iterator[str]:
    for each in site.objects:
        labels = each["metadata"].get("labels", {})
        missing = [name for name in RECOMMENDED if f"app.kubernetes.io/{name}" not in labels]
        if missing:
            yield f"{named(each)} lacks app.kubernetes.io/{', '.join(missing)}"
    for pod in site.pods():
        if "app.kubernetes.io/instance" not in pod.labels:
            yield f"{pod.name}: its pods lack the labels"


@invariant
def what_pods_mount_and_read_exists(site: Site) -> Iterator[str]:
    """Every ConfigMap and claim that is named, and every Secret that deploy/site_secrets.py makes."""
    maps = {(each["metadata"]["namespace"], each["metadata"]["name"]): each for each in site.of("ConfigMap")}
    claims = {each["metadata"]["name"] for each in site.of("PersistentVolumeClaim")}
    for pod in site.pods():
        for volume in pod.spec.get("volumes", []):
            if "configMap" in volume and (pod.namespace, volume["configMap"]["name"]) not in maps:
                yield f"{pod.name} mounts an unknown ConfigMap {volume['configMap']['name']}"
            if (
                "persistentVolumeClaim" in volume
                and volume["persistentVolumeClaim"]["claimName"] not in claims
            ):
                yield f"{pod.name} mounts an unknown claim"
        for container in pod.containers():
            mounted = {each["name"] for each in pod.spec.get("volumes", [])} | {
                each["metadata"]["name"] for each in pod.owner["spec"].get("volumeClaimTemplates", [])
            }
            for mount in container.get("volumeMounts", []):
                if mount["name"] not in mounted:
                    yield f"{pod.name} mounts {mount['name']}, which is no volume"
            for key in references(container, "configMapKeyRef"):
                if key["key"] not in maps.get((pod.namespace, key["name"]), {}).get("data", {}):
                    yield f"{pod.name} reads {key['key']} of {key['name']}, which is not there"


def references(container: Object, kind: str) -> Iterator[dict[str, Any]]:
    for variable in container.get("env", []):
        if found := variable.get("valueFrom", {}).get(kind):
            yield found
