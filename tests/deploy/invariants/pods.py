"""What a pod may do, and how it begins and ends."""

from collections.abc import Iterator

from tests.deploy.invariants.base import invariant, named, replicas
from tests.deploy.site import Site, inventory

CLUSTER_WIDE = {"Namespace", "ClusterRole", "ClusterRoleBinding", "ClusterIssuer"}


@invariant
def no_pod_gets_variables_of_services(site: Site) -> Iterator[str]:
    for pod in site.pods():
        if pod.spec.get("enableServiceLinks") is not False:
            yield f"{pod.name} leaves enableServiceLinks on"


@invariant
def every_pod_is_restricted(site: Site) -> Iterator[str]:
    """Pod Security "restricted", and a read-only root beside."""
    for pod in site.pods():
        whole = pod.spec.get("securityContext", {})
        if whole.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            yield f"{pod.name} has no seccomp profile"
        if not whole.get("runAsUser") or whole.get("runAsNonRoot") is not True:
            yield f"{pod.name} may run as root"
        if any(pod.spec.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")):
            yield f"{pod.name} uses the node's namespaces"
        if any("hostPath" in volume for volume in pod.spec.get("volumes", [])):
            yield f"{pod.name} mounts a path of the node"
        for container in pod.containers():
            own = container.get("securityContext", {})
            sound = (
                own.get("allowPrivilegeEscalation") is False
                and own.get("readOnlyRootFilesystem") is True
                and own.get("capabilities") == {"drop": ["ALL"]}
                and own.get("runAsUser", 1) != 0
                and not own.get("privileged")
            )
            if not sound:
                yield f"{pod.name}, {container['name']}: not restricted"


@invariant
def namespaces_enforce_restricted(site: Site) -> Iterator[str]:
    for each in site.of("Namespace"):
        if each["metadata"]["labels"].get("pod-security.kubernetes.io/enforce") != "restricted":
            yield f"{named(each)} does not enforce restricted"
    known = {each["metadata"]["name"] for each in site.of("Namespace")} | {"kube-system"}
    for each in site.objects:
        if each["kind"] not in CLUSTER_WIDE and each["metadata"].get("namespace") not in known:
            yield f"{named(each)} lies in no namespace of ours"


@invariant
def only_what_asks_the_api_server_has_a_token(site: Site) -> Iterator[str]:
    for pod in site.pods():
        if pod.app != "kube-state-metrics" and pod.spec.get("automountServiceAccountToken") is not False:
            yield f"{pod.name} carries a token of the API server"


@invariant
def every_container_says_what_it_needs(site: Site) -> Iterator[str]:
    for pod in site.pods():
        for container in pod.spec["containers"]:
            resources = container.get("resources", {})
            if not {"cpu", "memory"} <= resources.get("requests", {}).keys() or "memory" not in resources.get(
                "limits", {}
            ):
                yield f"{pod.name}, {container['name']}: requests or a limit are missing"


@invariant
def what_runs_on_is_probed(site: Site) -> Iterator[str]:
    for pod in site.pods():
        if pod.owner["kind"] in {"Job", "CronJob"}:
            continue
        for container in pod.spec["containers"]:
            if "livenessProbe" not in container or "startupProbe" not in container:
                yield f"{pod.name}, {container['name']}: no liveness or no startup probe"
        if any(pod.port_names()) and not any("readinessProbe" in each for each in pod.spec["containers"]):
            yield f"{pod.name} serves without a readiness probe"


@invariant
def there_is_time_to_end_in_peace(site: Site) -> Iterator[str]:
    least = {
        "postgres": 60,
        "web": 20,
        "live": 20,
        "worker": 110,
        "agents": 110,
        "postgres-router": 20,
        "pgbouncer": 20,
    }
    for pod in site.pods():
        if pod.spec.get("terminationGracePeriodSeconds", 30) < least.get(pod.app, 0):
            yield f"{pod.name} would be killed before it has ended"


@invariant
def nodes_are_those_of_the_inventory(site: Site) -> Iterator[str]:
    nodes = inventory()["nodes"]
    for pod in site.pods():
        wanted = pod.spec.get("nodeSelector", {})
        if wanted and sum(wanted.items() <= node["labels"].items() for node in nodes) < replicas(pod):
            yield f"{pod.name} wants nodes that the inventory does not have"
        if pod.spec.get("tolerations"):
            yield f"{pod.name} tolerates taints, but hybrid nodes have none"
    for node in nodes:
        if node["taints"]:
            yield f"node {node['name']} has taints, but pods tolerate none"
