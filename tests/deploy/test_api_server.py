"""Every site applied to a real API server with Pod Security admission: `make test-k8s`.

KUBEBUILDER_ASSETS names a folder with the programs etcd and kube-apiserver, as controllers' tests have
it. Without it everything here is skipped: neither Debian nor PyPI has a kube-apiserver.
"""

import json
import os
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.site_secrets import certificates
from tests.deploy.site import OVERLAYS, RENDERED, rendered

ASSETS = os.environ.get("KUBEBUILDER_ASSETS", "")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        not ASSETS, reason="KUBEBUILDER_ASSETS is not set: no API server to apply anything to"
    ),
]
# Kinds whose definitions somebody else installs: here they are made to accept anything.
OUTSIDE = {
    "ClusterIssuer": ("cert-manager.io", "v1", "clusterissuers", "Cluster"),
    "ScaledObject": ("keda.sh", "v1alpha1", "scaledobjects", "Namespaced"),
    "TriggerAuthentication": ("keda.sh", "v1alpha1", "triggerauthentications", "Namespaced"),
    "HelmChartConfig": ("helm.cattle.io", "v1", "helmchartconfigs", "Namespaced"),
}


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class Api:
    """kubectl as an administrator of the server."""

    def __init__(self, port: int, token: str) -> None:
        self.words = [
            *(os.environ.get("KUBECTL", "kubectl"), f"--server=https://127.0.0.1:{port}"),
            *(f"--token={token}", "--insecure-skip-tls-verify"),
        ]

    def try_to(self, *words: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*self.words, *words], input=text, capture_output=True, text=True, check=False)

    def do(self, *words: str, text: str | None = None) -> str:
        said = self.try_to(*words, text=text)
        assert said.returncode == 0, said.stderr
        return said.stdout


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("api")
    for name, value in certificates(("localhost", "127.0.0.1")).items():
        (folder / name).write_text(value)
    token = secrets.token_urlsafe(24)
    (folder / "tokens.csv").write_text(f'{token},admin,1,"system:masters"\n')
    clients, peers, port = free_port(), free_port(), free_port()
    etcd = subprocess.Popen(
        [
            *(str(Path(ASSETS) / "etcd"), "--data-dir", str(folder / "etcd")),
            *("--listen-client-urls", f"http://127.0.0.1:{clients}"),
            *("--advertise-client-urls", f"http://127.0.0.1:{clients}"),
            *("--listen-peer-urls", f"http://127.0.0.1:{peers}"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    server = subprocess.Popen(
        [
            *(str(Path(ASSETS) / "kube-apiserver"), f"--etcd-servers=http://127.0.0.1:{clients}"),
            *(f"--secure-port={port}", "--bind-address=127.0.0.1", "--authorization-mode=RBAC"),
            *(f"--tls-cert-file={folder / 'tls.crt'}", f"--tls-private-key-file={folder / 'tls.key'}"),
            *(f"--token-auth-file={folder / 'tokens.csv'}", "--service-cluster-ip-range=10.43.0.0/16"),
            *(
                f"--service-account-key-file={folder / 'tls.key'}",
                "--service-account-issuer=https://localhost",
            ),
            f"--service-account-signing-key-file={folder / 'tls.key'}",
            "--disable-admission-plugins=ServiceAccount",  # nobody makes the accounts without a controller
        ],
        stdout=(folder / "apiserver.log").open("w"),
        stderr=subprocess.STDOUT,
    )
    made = Api(port, token)
    try:
        deadline = time.monotonic() + 120
        while made.try_to("get", "--raw", "/readyz").returncode:
            assert time.monotonic() < deadline, (folder / "apiserver.log").read_text()[-2000:]
            time.sleep(0.5)
        for definition in definitions():
            made.do("apply", "--server-side", "-f", "-", text=json.dumps(definition))
        made.do("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
        yield made
    finally:
        for process in (server, etcd):
            process.terminate()
            process.wait()


def definitions() -> Iterator[dict]:
    for kind, (group, version, plural, scope) in OUTSIDE.items():
        anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        yield {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{plural}.{group}"},
            "spec": {
                "group": group,
                "scope": scope,
                "names": {"kind": kind, "plural": plural},
                "versions": [
                    {
                        "name": version,
                        "served": True,
                        "storage": True,
                        "schema": {"openAPIV3Schema": anything},
                    }
                ],
            },
        }


@pytest.mark.parametrize("name", OVERLAYS)
def test_a_site_is_taken_and_a_second_time_nothing_changes(api: Api, name: str):
    path = str(RENDERED / f"{name}.yaml")
    for namespace in rendered(name).of("Namespace"):
        api.do("apply", "--server-side", "--force-conflicts", "-f", "-", text=json.dumps(namespace))
    first = api.try_to("apply", "--server-side", "--force-conflicts", "-f", path)
    assert first.returncode == 0, first.stderr
    assert "would violate PodSecurity" not in first.stderr
    before = api.do("get", "-f", path, "-o", "jsonpath={.items[*].metadata.resourceVersion}")
    api.do("apply", "--server-side", "--force-conflicts", "-f", path)
    assert api.do("get", "-f", path, "-o", "jsonpath={.items[*].metadata.resourceVersion}") == before


def test_a_pod_that_breaks_restricted_is_refused(api: Api):
    [namespace] = rendered("local").of("Namespace")
    api.do("apply", "--server-side", "--force-conflicts", "-f", "-", text=json.dumps(namespace))
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "rooted", "namespace": "gardenos"},
        "spec": {"containers": [{"name": "x", "image": "x", "securityContext": {"privileged": True}}]},
    }
    said = api.try_to("apply", "--server-side", "-f", "-", text=json.dumps(pod))
    assert said.returncode != 0
    assert "violates PodSecurity" in said.stderr
