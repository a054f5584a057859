"""Builds and runs the images with buildah and podman, without a registry and without systemd.

Each call runs in a mount namespace of its own in which /sys/fs/cgroup is a cgroup2: crun refuses the
older layout. Limits are named because raising them is refused in a container, and cgroups are left out
altogether.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.deploy.site import REPOSITORY

PROGRAMS = ("unshare", "mmdebstrap", "buildah", "podman", "crun", "ip", "etcd", "etcdctl", "openssl", "curl")
BASE = "localhost/base:12"
APP, POSTGRES = "localhost/gardenos-app:local", "localhost/gardenos-postgres:local"
LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")
RESTRICTED = (
    "--read-only",
    "--read-only-tmpfs=false",
    "--cap-drop",
    "all",
    "--security-opt",
    "no-new-privileges",
)
IN_OWN_MOUNTS = (
    *("unshare", "--mount", "--propagation", "private", "sh", "-c"),
    'mount -t cgroup2 none /sys/fs/cgroup && exec "$@"',
    "sh",
)


def why_not() -> str:
    """Why images cannot be built and run here; empty when they can."""
    if not os.environ.get("TEST_IMAGES"):
        return "make test-images runs these: they take half an hour"
    if os.geteuid() != 0:
        return "images are built and run as root"
    missing = [name for name in PROGRAMS if not shutil.which(name)]
    if missing:
        return f"{', '.join(missing)}: not installed; run .ci/test-deps images"
    tried = subprocess.run([*IN_OWN_MOUNTS, "true"], capture_output=True, text=True, check=False)
    return f"no mount namespace with cgroup2 ({tried.stderr.strip()})" if tried.returncode else ""


@dataclass
class Containers:
    """A store of images in `place`, and what runs from it."""

    place: Path
    running: list[subprocess.Popen[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.place.mkdir(parents=True, exist_ok=True)
        self.policy = self.place / "policy.json"
        self.policy.write_text(json.dumps({"default": [{"type": "insecureAcceptAnything"}]}))

    def storage(self, program: str) -> list[str]:
        return [
            *(program, "--root", str(self.place / "store"), "--runroot", str(self.place / "run")),
            *("--storage-driver", "vfs"),
        ]

    def call(self, *words: str, within_s: float = 900) -> str:
        """Run to its end and give what it wrote. Raises AssertionError with all of it when it fails."""
        said = subprocess.run(
            [*IN_OWN_MOUNTS, *words],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=within_s,
        )
        assert said.returncode == 0, f"{' '.join(words[:8])} ...: {said.stdout[-3000:]}"
        return said.stdout

    def has(self, image: str) -> bool:
        return (
            image
            in self.call(*self.storage("podman"), "images", "--format", "{{.Repository}}:{{.Tag}}").split()
        )

    def build_base(self) -> None:
        """A plain Debian 12 with Python, from Debian's packages: nothing is pulled."""
        rootfs = self.place / "rootfs.tar"
        packages = "ca-certificates,python3,python3-venv"
        self.call("mmdebstrap", "--variant=minbase", f"--include={packages}", "bookworm", str(rootfs))
        buildah = self.storage("buildah")
        made = self.call(*buildah, "from", "scratch").strip()
        self.call(*buildah, "add", "-q", made, str(rootfs), "/")
        self.call(*buildah, "commit", "-q", "--signature-policy", str(self.policy), made, BASE)
        self.call(*buildah, "rm", made)
        rootfs.unlink()

    def build(self, folder: str, image: str, **arguments: str) -> None:
        """The Dockerfile of deploy/docker/<folder>, on the base of `build_base`."""
        own = [  # what this machine itself needs to reach its package registries
            word
            for path in ("/etc/ssl/certs/ca-certificates.crt", "/etc/pip.conf")
            if Path(path).exists()
            for word in ("--volume", f"{path}:{path}:ro")
        ]
        given = [word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")]
        self.call(
            *self.storage("buildah"),
            *("bud", "--signature-policy", str(self.policy), "--isolation", "chroot", "--format", "docker"),
            *("--network", "host", *LIMITS, *own, "--build-arg", f"BASE_IMAGE={BASE}", *given),
            *("--ignorefile", f"deploy/docker/{folder}/Dockerfile.dockerignore"),
            *("--file", f"deploy/docker/{folder}/Dockerfile", "--tag", image, "."),
            within_s=1800,
        )

    def command(self, image: str, options: Sequence[str], words: Sequence[str]) -> list[str]:
        podman = [*self.storage("podman"), "--cgroup-manager", "cgroupfs"]
        return [*podman, "run", "--rm", "--cgroups=disabled", *LIMITS, *RESTRICTED, *options, image, *words]

    def run(self, image: str, *words: str, options: Sequence[str] = ("--network", "none")) -> str:
        return self.call(*self.command(image, options, words))

    def start(self, image: str, *words: str, options: Sequence[str], log: Path) -> subprocess.Popen[str]:
        """Let it run until `stop_all`; what it says goes into `log`."""
        with log.open("w") as written:
            process = subprocess.Popen(
                [*IN_OWN_MOUNTS, *self.command(image, options, words)],
                cwd=REPOSITORY,
                stdout=written,
                stderr=subprocess.STDOUT,
                text=True,
            )
        self.running.append(process)
        return process

    def stop_all(self) -> None:
        """SIGTERM, which podman hands on; whoever stays longer than 30 s is killed."""
        for process in reversed(self.running):
            process.terminate()
        for process in reversed(self.running):
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.running.clear()
