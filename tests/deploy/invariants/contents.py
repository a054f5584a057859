"""Images, secrets and data."""

import re
from collections.abc import Iterator

from tests.deploy.invariants.base import invariant, named
from tests.deploy.site import Site, inventory

DATA_PATHS = (
    "/var/lib/postgresql/data",
    "/var/lib/gardenos/files",
    "/var/lib/gardenos/ledger",
    "/prometheus",
    "/grafana",
)
DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")


@invariant
def no_image_is_whatever_is_latest(site: Site) -> Iterator[str]:
    for pod in site.pods():
        for container in pod.containers():
            image = container["image"]
            tag = image.partition("@")[0].rpartition("/")[2].partition(":")[2]
            if tag == "latest" or not (tag or "@" in image):
                yield f"{pod.name} runs {image}"


@invariant
def a_sites_images_are_pinned_by_digest(site: Site) -> Iterator[str]:
    if site.name == "local":
        return
    for pod in site.pods():
        for container in pod.containers():
            if not DIGEST.search(container["image"]):
                yield f"{pod.name} runs {container['image']}, without a digest"


@invariant
def the_migration_is_of_the_release(site: Site) -> Iterator[str]:
    if site.name == "local":
        return
    image = site.pod("web").spec["containers"][0]["image"]
    for app in ("live", "worker", "agents", "migrate"):
        if site.pod(app).spec["containers"][0]["image"] != image:
            yield f"{app} runs another image than web"
    wanted = f"migrate-{image.rpartition(':')[2][:12]}"
    if site.pod("migrate").owner["metadata"]["name"] != wanted:
        yield f"the Job is not named {wanted}, and could not be applied beside the last one"


@invariant
def no_secret_is_in_the_manifests(site: Site) -> Iterator[str]:
    for each in site.of("Secret"):
        yield f"{named(each)} is in the manifests; secrets are encrypted by SOPS and applied beside"
    for pod in site.pods():
        for container in pod.containers():
            for variable in container.get("env", []):
                if re.search(r"PASSWORD|SECRET|_KEY$|TOKEN|CIPHER", variable["name"]) and "value" in variable:
                    yield f"{pod.name}: {variable['name']} is written in plain"
    for each in site.of("ConfigMap"):
        for name, text in each.get("data", {}).items():
            if re.search(r"://[^\s/]+:[^\s/$]+@|-----BEGIN|^\s*password\s*[:=]\s*\S", text, re.MULTILINE):
                yield f"{named(each)}, {name}: holds a password or a key"


@invariant
def data_lies_on_claims(site: Site) -> Iterator[str]:
    for pod in site.pods():
        fleeting = {volume["name"] for volume in pod.spec.get("volumes", []) if "emptyDir" in volume}
        for container in pod.containers():
            for mount in container.get("volumeMounts", []):
                if mount["name"] in fleeting and mount["mountPath"].startswith(DATA_PATHS):
                    yield f"{pod.name}: {mount['mountPath']} would be gone with the pod"


@invariant
def claims_name_a_storage_class_of_the_inventory(site: Site) -> Iterator[str]:
    for claim in site.claims():
        if claim["spec"].get("storageClassName") not in inventory()["storage_classes"]:
            yield f"claim {claim['metadata']['name']} names no storage class of the inventory"
