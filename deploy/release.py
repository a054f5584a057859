"""What a release changes in a site: `python3 deploy/release.py OVERLAY IMAGE@sha256:DIGEST...`.

Writes deploy/k8s/overlays/OVERLAY/release/kustomization.yaml: the images by digest, and the name of the
Job that migrates (a Job cannot be changed, so each application image has its own). An image that is not
named stays as it is; so the same command with the digest of before is the way back. `--check OVERLAY`
says whether anything was released. Exit codes: 0 done, 1 nothing was released yet (with --check), 2 wrong
use.
"""

import argparse
import re
import sys
from pathlib import Path

OVERLAYS = Path(__file__).resolve().parent / "k8s" / "overlays"
IMAGES = ("gardenos-app", "gardenos-postgres")
NONE_YET = "0" * 64
REFERENCE = re.compile(r"(?P<place>[a-z0-9./:_-]+)/(?P<name>gardenos-[a-z]+)@sha256:(?P<digest>[0-9a-f]{64})")
ENTRY = re.compile(r"- name: (\S+)\n\s+newName: (\S+)\n\s+digest: sha256:([0-9a-f]{64})")


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Set the images of a site.")
    parser.add_argument("overlay", help="staging or production")
    parser.add_argument("images", nargs="*", help="registry/name@sha256:digest")
    parser.add_argument("--check", action="store_true", help="only say whether something was released")
    asked = parser.parse_args(argv)
    path = OVERLAYS / asked.overlay / "release" / "kustomization.yaml"
    if not path.is_file():
        return refuse(f"{asked.overlay} has no release/kustomization.yaml; name staging or production")
    before = {name: (place, digest) for name, place, digest in ENTRY.findall(path.read_text())}
    if asked.check:
        missing = [name for name, (_, digest) in before.items() if digest == NONE_YET]
        if missing:
            sys.stderr.write(f"release: {asked.overlay}: not released yet: {', '.join(missing)}\n")
        return 1 if missing else 0
    if not asked.images:
        return refuse("name at least one image, as registry.example/gardenos-app@sha256:<64 digits>")
    for reference in asked.images:
        parts = REFERENCE.fullmatch(reference)
        if parts is None or parts["name"] not in IMAGES:
            return refuse(f"{reference} is not one of {', '.join(IMAGES)} with a digest")
        before[parts["name"]] = (f"{parts['place']}/{parts['name']}", parts["digest"])
    path.write_text(text(before))
    sys.stdout.write(f"release: {asked.overlay}: {', '.join(asked.images)}\n")
    return 0


def refuse(why: str) -> int:
    sys.stderr.write(f"release: {why}\n")
    return 2


def text(images: dict[str, tuple[str, str]]) -> str:
    """The component that an overlay includes."""
    entries = "".join(
        f"  - name: {name}\n    newName: {images[name][0]}\n    digest: sha256:{images[name][1]}\n"
        for name in IMAGES
    )
    return (
        "# Written by deploy/release.py: which images run, and the name of the Job that migrates.\n"
        "# Digests of zeros mean that nothing was released here yet.\n"
        "apiVersion: kustomize.config.k8s.io/v1alpha1\n"
        "kind: Component\n"
        f"images:\n{entries}"
        "patches:\n"
        "  - target: {kind: Job, name: migrate}\n"
        "    patch: |-\n"
        f"      - {{op: replace, path: /metadata/name, value: migrate-{images['gardenos-app'][1][:12]}}}\n"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
