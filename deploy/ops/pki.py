"""The authority of etcd and its certificates, in the secrets folder of the operator's machine.

Made by the program openssl: keys on P-256, the authority for ten years, certificates for two. A certificate
is made anew 30 days before its end, or when its names change; the next run brings it to the nodes.
"""

import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from deploy.ops.hosts import Trouble
from deploy.ops.steps import HERE, Step

AUTHORITY_DAYS, CERTIFICATE_DAYS, RENEW_S = 3650, 730, 30 * 86400


@dataclass(frozen=True)
class Certificate:
    """`name`: its files are `name`.crt and `name`.key. `names`: openssl's subjectAltName, for servers."""

    name: str
    subject: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Authority:
    folder: Path

    def path(self, name: str) -> Path:
        return self.folder / name

    def text(self, name: str) -> str | None:
        """What a file of the folder holds; None if there is none."""
        path = self.path(name)
        return path.read_text() if path.is_file() else None

    def keep(self, name: str, text: str) -> None:
        """Writes a file that only the operator can read, whole or not at all."""
        self.path(name).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = self.path(f"{name}.new")
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
        new.replace(self.path(name))

    def step(self) -> Step:
        def check() -> str:
            return "" if self.path("ca.crt").is_file() and self.path("ca.key").is_file() else "there is none"

        def apply() -> None:
            if self.path("ca.crt").is_file():
                raise Trouble(
                    f"{self.path('ca.key')} is gone but ca.crt is there; bring it back from your copy"
                )
            with tempfile.TemporaryDirectory() as place:
                openssl(
                    *("req", "-x509", *NEW_KEY, "-keyout", "ca.key", "-out", "ca.crt"),
                    *("-days", str(AUTHORITY_DAYS), "-subj", "/CN=etcd of GardenOS"),
                    *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
                    place=place,
                )
                for name in ("ca.key", "ca.crt"):
                    self.keep(name, (Path(place) / name).read_text())

        return Step(HERE, f"etcd's authority in {self.folder}", check, apply)

    def certificate_step(self, wanted: Certificate) -> Step:
        crt = self.path(f"{wanted.name}.crt")

        def check() -> str:
            if not crt.is_file() or not self.path(f"{wanted.name}.key").is_file():
                return "missing"
            place, path = str(self.folder), str(crt.resolve())
            if asks("x509", "-in", path, "-noout", "-checkend", str(RENEW_S), place=place).returncode:
                return "ends within 30 days"
            if asks("verify", "-CAfile", "ca.crt", path, place=place).returncode:
                return "is not of this authority"
            said = asks("x509", "-in", path, "-noout", "-ext", "subjectAltName", place=place).stdout
            has = {word.strip() for line in said.splitlines()[1:] for word in line.split(",")}
            shown = {name.replace("IP:", "IP Address:") for name in wanted.names}
            return "" if has == shown else "has other names"

        def apply() -> None:
            extensions = "keyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\n"
            if wanted.names:
                extensions += f"subjectAltName={','.join(wanted.names)}\n"
            with tempfile.TemporaryDirectory() as place:
                (Path(place) / "extensions").write_text(extensions)
                openssl(
                    "req", *NEW_KEY, "-keyout", "key", "-out", "csr", "-subj", wanted.subject, place=place
                )
                openssl(
                    *("x509", "-req", "-in", "csr", "-out", "crt", "-days", str(CERTIFICATE_DAYS)),
                    *(
                        "-CA",
                        str(self.path("ca.crt").resolve()),
                        "-CAkey",
                        str(self.path("ca.key").resolve()),
                    ),
                    *("-CAcreateserial", "-CAserial", "serial", "-extfile", "extensions"),
                    place=place,
                )
                for suffix in ("key", "crt"):
                    self.keep(f"{wanted.name}.{suffix}", (Path(place) / suffix).read_text())

        return Step(HERE, f"certificate {wanted.name}", check, apply)


NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


def asks(*words: str, place: str) -> subprocess.CompletedProcess[str]:
    """Raises Trouble if openssl is not there."""
    try:
        return subprocess.run(  # noqa: S603
            ["openssl", *words],  # noqa: S607
            cwd=place,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        raise Trouble("the program openssl is missing: apt-get install openssl") from None


def openssl(*words: str, place: str) -> None:
    said = asks(*words, place=place)
    if said.returncode:
        raise Trouble(f"openssl {words[0]} failed: {said.stderr.strip().splitlines()[-1]}")
