"""Runs what a rendered manifest says a pod runs, as a plain process: the same command, environment and files.

Each pod has a folder that stands for its root. What the manifest mounts is written there (ConfigMaps and
Secrets with the rights that Kubernetes gives them, claims and scratch volumes as folders), and the places are
replaced by it in every text. Nothing else of the shipped files is changed.
"""

import os
import pwd
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.deploy.images.network import PodNetwork
from tests.deploy.site import REPOSITORY, Object, Pod, Site
from tests.ha.places import ADDRESSES, READ_ONLY_PORT

PLACES = ("/etc/gardenos", "/var/lib/gardenos", "/var/lib/postgresql", "/var/run/postgresql", "/tmp/pgpass")
OF_DATABASE = {"postgres", "postgres-router", "pgbouncer"}
DATABASE_USER, APP_USER = "postgres", "root"  # the app's interpreter may lie where only root gets at it
NAMESPACE = "gardenos"
_REFERENCE = re.compile(r"\$\((\w+)\)")


@dataclass(frozen=True)
class Prepared:
    """What to start, and with what."""

    command: list[str]
    env: dict[str, str]
    root: Path
    user: str


@dataclass
class Pods:
    """Makes pods of `site` in `folder`. `secrets`: name -> key -> value. `path`: where programs lie."""

    site: Site
    secrets: dict[str, dict[str, str]]
    folder: Path
    path: str
    network: PodNetwork
    more: dict[str, str] = field(default_factory=dict)  # what the application gets beside

    def prepare(self, app: str, name: str, namespace: str) -> Prepared:
        """The pod of this `app.kubernetes.io/name`, called `name`, in a network namespace."""
        pod, root = self.site.pod(app), self.folder / name
        user = DATABASE_USER if app in OF_DATABASE else APP_USER
        root.mkdir(exist_ok=True)
        self._mount(pod, root, user)
        [container] = pod.spec["containers"]
        image = "postgres" if app in OF_DATABASE else "app"
        entrypoint = root / "entrypoint.sh"
        script = (REPOSITORY / "deploy" / "docker" / image / "entrypoint.sh").read_text()
        entrypoint.write_text(self._placed(script, root))
        entrypoint.chmod(0o755)
        fields = {
            "metadata.name": name,
            "metadata.namespace": NAMESPACE,
            "status.podIP": ADDRESSES[namespace],
        }
        env = dict(self._variables(container, fields))
        env = {key: self._placed(value, root) for key, value in env.items()}
        env |= {"PATH": self.path, "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1", "HOME": str(root)}
        if image == "app":
            env |= self.more
        return Prepared([str(entrypoint), *container["args"]], env, root, user)

    def start(self, prepared: Prepared, namespace: str, *words: str) -> subprocess.Popen[bytes]:
        """In the network namespace, as its user, on a host of its name. It writes into <root>/log.txt."""
        as_user = []
        if prepared.user != "root":
            as_user = ["setpriv", "--reuid", prepared.user, "--regid", prepared.user, "--clear-groups"]
        named = ["unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', prepared.root.name]
        command = [*self.network.inside(namespace), *named, *as_user, *(words or prepared.command)]
        with (prepared.root / "log.txt").open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=REPOSITORY if prepared.user == "root" else prepared.root,
                env=prepared.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    # --- files ---------------------------------------------------------------------------------------------
    def _mount(self, pod: Pod, root: Path, user: str) -> None:
        volumes = {each["name"]: each for each in pod.spec.get("volumes", [])}
        owner = pwd.getpwnam(user)
        for mount in pod.spec["containers"][0].get("volumeMounts", []):
            if not mount["mountPath"].startswith(PLACES):  # /tmp and /dev/shm are the machine's
                continue
            place = root / mount["mountPath"].lstrip("/")
            volume = volumes.get(mount["name"], {})
            if "persistentVolumeClaim" in volume:
                self._link_claim(volume["persistentVolumeClaim"]["claimName"], place)
                continue
            place.mkdir(parents=True, exist_ok=True)
            if "secret" in volume or "configMap" in volume:
                for name, text in self._files(volume).items():
                    _write(place / name, self._placed(text, root), owner.pw_gid)
            else:
                os.chown(place, owner.pw_uid, owner.pw_gid)
                place.chmod(0o700)
        for place in ("tmp",):
            (root / place).mkdir(exist_ok=True)
            (root / place).chmod(0o1777)

    def _link_claim(self, claim: str, place: Path) -> None:
        shared = self.folder / "claims" / claim
        shared.mkdir(parents=True, exist_ok=True)
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.is_symlink():
            place.symlink_to(shared)

    def _files(self, volume: Object) -> dict[str, str]:
        if "secret" in volume:
            secret = volume["secret"]
            values = self.secrets[secret["secretName"]]
            items = secret.get("items") or [{"key": key, "path": key} for key in values]
            return {item["path"]: values[item["key"]] for item in items}
        return dict(self.site.one("ConfigMap", volume["configMap"]["name"])["data"])

    def _placed(self, text: str, root: Path) -> str:
        text = text.replace("/usr/local/bin/", f"{REPOSITORY / 'deploy' / 'docker' / 'postgres'}/")
        text = text.replace("@postgres-ro:5432", f"@postgres-ro:{READ_ONLY_PORT}")
        return re.sub(rf"(?<![\w/.-])({'|'.join(PLACES)})", lambda found: f"{root}{found[1]}", text)

    # --- environment ---------------------------------------------------------------------------------------
    def _variables(self, container: Object, fields: dict[str, str]) -> Iterator[tuple[str, str]]:
        known: dict[str, str] = {}
        for source in container.get("envFrom", []):
            known |= self.site.one("ConfigMap", source["configMapRef"]["name"])["data"]
        for variable in container.get("env", []):
            value = self._value(variable, fields)
            if value is not None:
                known[variable["name"]] = _REFERENCE.sub(lambda found: known[found[1]], value)
        yield from known.items()

    def _value(self, variable: Object, fields: dict[str, str]) -> str | None:
        source = variable.get("valueFrom", {})
        if "fieldRef" in source:
            return fields[source["fieldRef"]["fieldPath"]]
        if "configMapKeyRef" in source:
            reference = source["configMapKeyRef"]
            return self.site.one("ConfigMap", reference["name"])["data"][reference["key"]]
        if "secretKeyRef" in source:
            reference = source["secretKeyRef"]
            return self.secrets[reference["name"]].get(reference["key"])
        return variable["value"]


def _write(place: Path, text: str, gid: int) -> None:
    """As Kubernetes mounts it: root's, readable by the pod's group."""
    place.write_text(text)
    os.chown(place, 0, gid)
    place.chmod(0o440)
