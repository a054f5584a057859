"""The rendered manifests of a site (deploy/k8s/rendered/), as the tests look at them."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
RENDERED = REPOSITORY / "deploy" / "k8s" / "rendered"
OVERLAYS = ("local", "staging", "production", "everything")
WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob")
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Object = dict[str, Any]


@dataclass(frozen=True)
class Pod:
    """A pod that a workload would make."""

    owner: Object
    namespace: str
    labels: dict[str, str]
    spec: Object

    @property
    def name(self) -> str:
        return f"{self.owner['kind']}/{self.owner['metadata']['name']}"

    @property
    def app(self) -> str:
        return self.labels.get("app.kubernetes.io/name", "")

    def containers(self) -> list[Object]:
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]

    def port_names(self) -> dict[str, int]:
        return {
            port["name"]: port["containerPort"]
            for container in self.spec["containers"]
            for port in container.get("ports", [])
            if "name" in port
        }


@dataclass(frozen=True)
class Site:
    name: str
    objects: list[Object]

    def of(self, *kinds: str) -> list[Object]:
        return [each for each in self.objects if each["kind"] in kinds]

    def one(self, kind: str, name: str) -> Object:
        [found] = [each for each in self.of(kind) if each["metadata"]["name"] == name]
        return found

    def pods(self) -> Iterator[Pod]:
        for owner in self.of(*WORKLOADS):
            spec = owner["spec"]
            template = spec["jobTemplate"]["spec"]["template"] if "jobTemplate" in spec else spec["template"]
            yield Pod(
                owner=owner,
                namespace=owner["metadata"].get("namespace", ""),
                labels=template["metadata"].get("labels", {}),
                spec=template["spec"],
            )

    def pod(self, app: str) -> Pod:
        return next(pod for pod in self.pods() if pod.app == app)

    def claims(self) -> Iterator[Object]:
        yield from self.of("PersistentVolumeClaim")
        for each in self.of("StatefulSet"):
            yield from each["spec"].get("volumeClaimTemplates", [])

    def file(self, config: str, name: str) -> str:
        """The text of a mounted configuration file. `config` is the ConfigMap's name without its hash."""
        [found] = [
            each["data"][name]
            for each in self.of("ConfigMap")
            if each["metadata"]["name"].rpartition("-")[0] == config
        ]
        return found

    def copy(self) -> "Site":
        return Site(self.name, deepcopy(self.objects))


@cache
def _objects(name: str) -> list[Object]:
    text = (RENDERED / f"{name}.yaml").read_text()
    return [each for each in yaml.load_all(text, Loader=LOADER) if each]


def rendered(name: str) -> Site:
    return Site(name, deepcopy(_objects(name)))


@cache
def inventory() -> Object:
    return yaml.safe_load((REPOSITORY / "deploy" / "inventory" / "example.yaml").read_text())


def matches(selector: Object, labels: dict[str, str]) -> bool:
    """Kubernetes' label selectors: matchLabels and matchExpressions (In, NotIn, Exists, DoesNotExist)."""
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    for rule in selector.get("matchExpressions", []):
        value, listed = labels.get(rule["key"]), rule.get("values", [])
        holds = {
            "In": value in listed,
            "NotIn": value not in listed,
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }[rule["operator"]]
        if not holds:
            return False
    return True
