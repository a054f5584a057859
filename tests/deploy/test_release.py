"""A release names images by digest and the Job that migrates; Secrets are not shown."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from deploy import release, site_secrets
from tests.deploy.site import REPOSITORY

APP = f"registry.example/gardenos-app@sha256:{'ab12' * 16}"


@pytest.fixture
def overlays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "production" / "release"
    place.mkdir(parents=True)
    source = REPOSITORY / "deploy" / "k8s" / "overlays" / "production" / "release" / "kustomization.yaml"
    (place / "kustomization.yaml").write_text(source.read_text())
    monkeypatch.setattr(release, "OVERLAYS", tmp_path)
    return tmp_path


def written(overlays: Path) -> dict:
    return yaml.safe_load((overlays / "production" / "release" / "kustomization.yaml").read_text())


def test_a_release_sets_the_image_and_the_name_of_its_migration(overlays: Path):
    assert release.main(["production", APP]) == 0
    component = written(overlays)
    images = {image["name"]: image for image in component["images"]}
    assert images["gardenos-app"]["digest"] == f"sha256:{'ab12' * 16}"
    assert images["gardenos-postgres"]["digest"] == f"sha256:{'0' * 64}"
    assert "value: migrate-ab12ab12ab12}" in component["patches"][0]["patch"]


def test_a_site_without_a_release_is_told_apart(overlays: Path, capsys: pytest.CaptureFixture[str]):
    assert release.main(["--check", "production"]) == 1
    assert "not released yet: gardenos-app, gardenos-postgres" in capsys.readouterr().err
    release.main(["production", APP, APP.replace("-app", "-postgres")])
    assert release.main(["--check", "production"]) == 0


@pytest.mark.parametrize(
    "image", ["gardenos-app", "registry.example/gardenos-app:latest", APP[:-1], APP.replace("-app", "-other")]
)
def test_an_image_without_a_digest_is_refused_and_nothing_changes(overlays: Path, image: str):
    before = written(overlays)
    assert release.main(["production", image]) == 2
    assert written(overlays) == before


def test_an_unknown_site_is_refused(overlays: Path):
    assert release.main(["moon", APP]) == 2


def test_secrets_are_manifests_that_read_back_as_they_were_made(tmp_path: Path):
    for name in ("ca.crt", "tls.crt", "tls.key"):
        (tmp_path / name).write_text(f"of etcd: {name}\n")
    (tmp_path / "password").write_text("pond\n")
    said = subprocess.run(
        [
            *(sys.executable, "deploy/site_secrets.py", "--etcd-client", str(tmp_path)),
            *("--etcd-password-file", str(tmp_path / "password"), "--email-url", "smtp://mail:25"),
        ],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    found = {each["metadata"]["name"]: each["stringData"] for each in yaml.safe_load_all(said.stdout)}
    assert found["etcd-client"]["tls.key"] == "of etcd: tls.key\n"
    assert found["postgres-secrets"]["ETCD_PASSWORD"] == "pond"
    assert found["app-secrets"]["EMAIL_URL"] == "smtp://mail:25"
    assert found["postgres-tls"]["tls.crt"].startswith("-----BEGIN CERTIFICATE-----\n")


def test_a_missing_file_of_etcd_is_named(tmp_path: Path):
    said = subprocess.run(
        [
            *(sys.executable, "deploy/site_secrets.py", "--etcd-client", str(tmp_path)),
            *("--etcd-password-file", str(tmp_path / "password")),
        ],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (said.returncode, said.stdout) == (2, "")
    assert "ca.crt cannot be read" in said.stderr


def test_the_certificate_names_the_database_in_all_the_ways_it_is_asked():
    assert {"postgres-rw", "postgres-ro", "pgbouncer", "*.postgres.gardenos.svc.cluster.local"} <= set(
        site_secrets.NAMES
    )
