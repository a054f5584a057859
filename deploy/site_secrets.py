"""A site's Secrets with fresh random values, as manifests: `python3 deploy/site_secrets.py > secrets.yaml`.

The output is for `sops encrypt` and for nobody's eyes: docs/operations/kubernetes.md has the whole way.
Passwords are of letters, digits, - and _, so that they stand in an address as they are. Certificates are
made by the program openssl: a private authority for the database, valid for ten years, and certificates
of two years. etcd's client certificate is made where etcd is set up and is read from a folder
(`--etcd-client`: ca.crt, tls.crt, tls.key).
"""

import argparse
import ipaddress
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote

SITE = "gardenos"
WATCHERS = "monitoring"
DATABASE = "gardenos"
FAILOVER = (
    "connect_timeout=2&tcp_user_timeout=3000&keepalives_idle=1&keepalives_interval=1&keepalives_count=2"
)
TLS = "sslmode=verify-full&sslrootcert=/etc/gardenos/postgres/ca.crt"
NAMES = (
    *(
        f"{name}{suffix}"
        for name in ("postgres-rw", "postgres-ro", "pgbouncer")
        for suffix in ("", f".{SITE}")
    ),
    *(
        f"{name}.{SITE}.svc.cluster.local"
        for name in ("postgres-rw", "postgres-ro", "pgbouncer", "*.postgres")
    ),
    "localhost",
)
AUTHORITY_DAYS, CERTIFICATE_DAYS = 3650, 730


class CannotMake(Exception):
    """Why there are no Secrets, and what to do."""


def main() -> int:
    parser = argparse.ArgumentParser(description="Print a site's Secrets with fresh random values.")
    parser.add_argument(
        "--etcd-client", type=Path, required=True, help="folder with ca.crt, tls.crt, tls.key"
    )
    parser.add_argument("--etcd-user", default="patroni", help="etcd's user for Patroni (default: patroni)")
    parser.add_argument(
        "--etcd-password-file", type=Path, required=True, help="file with that user's password"
    )
    parser.add_argument("--email-url", default="", help="EMAIL_URL, smtp+tls://user:password@host:587")
    parser.add_argument("--valkey", action="store_true", help="also the Secret of the component valkey")
    parser.add_argument("--keda", action="store_true", help="also the Secret of the component keda")
    asked = parser.parse_args()
    if sys.stdout.isatty():
        sys.stderr.write("secrets: the output would be shown; write `> secrets.yaml`, or pipe it into sops\n")
        return 2
    try:
        made = all_secrets(
            etcd={name: (asked.etcd_client / name).read_text() for name in ("ca.crt", "tls.crt", "tls.key")},
            etcd_user=asked.etcd_user,
            etcd_password=asked.etcd_password_file.read_text().strip(),
            email_url=asked.email_url,
            components={name for name in ("valkey", "keda") if getattr(asked, name)},
        )
    except OSError as error:
        sys.stderr.write(f"secrets: {error.filename} cannot be read ({error.strerror})\n")
        return 2
    except CannotMake as error:
        sys.stderr.write(f"secrets: {error}\n")
        return 1
    sys.stdout.write("---\n".join(manifest(*each) for each in made))
    return 0


def all_secrets(
    *,
    etcd: dict[str, str],
    etcd_user: str,
    etcd_password: str,
    email_url: str = "",
    components: set[str] | frozenset[str] = frozenset(),
) -> list[tuple[str, str, dict[str, str]]]:
    """(namespace, name, values) of every Secret. Raises CannotMake."""
    owner, app, readonly, token = (secrets.token_urlsafe(24) for _ in range(4))
    app_secrets = {
        "SECRET_KEY": secrets.token_urlsafe(50),
        "AUDIT_KEY": secrets.token_urlsafe(50),
        "TOKEN_PEPPER": secrets.token_urlsafe(50),
        "METRICS_TOKEN": token,
        "DATABASE_URL": address("app", app, "pgbouncer:6432", TLS + "&connect_timeout=5"),
        "DATABASE_LISTEN_URL": address("app", app, "postgres-rw:5432", f"{TLS}&{FAILOVER}"),
        "DATABASE_READ_URL": address("readonly", readonly, "postgres-ro:5432", f"{TLS}&{FAILOVER}"),
    }
    made = [
        (SITE, "app-secrets", app_secrets | ({"EMAIL_URL": email_url} if email_url else {})),
        (
            SITE,
            "owner-secrets",
            {"DATABASE_OWNER_URL": address("owner", owner, "postgres-rw:5432", f"{TLS}&{FAILOVER}")},
        ),
        (
            SITE,
            "postgres-secrets",
            {
                "OWNER_PASSWORD": owner,
                "APP_PASSWORD": app,
                "READONLY_PASSWORD": readonly,
                "ETCD_USERNAME": etcd_user,
                "ETCD_PASSWORD": etcd_password,
                **{
                    f"{name}_PASSWORD": secrets.token_urlsafe(24)
                    for name in ("SUPERUSER", "REPLICATION", "REWIND", "RESTAPI", "HAPROXY_STATS")
                },
            },
        ),
        (
            SITE,
            "pgbouncer-users",
            {"userlist.txt": f'"gardenos_app" "{app}"\n"gardenos_readonly" "{readonly}"\n'},
        ),
        (SITE, "postgres-tls", certificates(NAMES)),
        (SITE, "etcd-client", etcd),
        (WATCHERS, "scrape-token", {"METRICS_TOKEN": token}),
    ]
    if "keda" in components:
        connection = address("app", app, f"postgres-ro.{SITE}.svc.cluster.local:5432", "sslmode=require")
        made.append((SITE, "keda-secrets", {"connection": connection}))
    if "valkey" in components:
        password = secrets.token_urlsafe(24)
        place = f"valkey://:{password}@valkey:6379"
        values = {"VALKEY_PASSWORD": password, "CHANNEL_LAYER_URL": f"{place}/0", "CACHE_URL": f"{place}/1"}
        made.append((SITE, "valkey-secrets", values))
    return made


def address(role: str, password: str, place: str, options: str = "") -> str:
    url = f"postgresql://gardenos_{role}:{quote(password, safe='')}@{place}/{DATABASE}"
    return f"{url}?{options}" if options else url


def certificates(
    names: tuple[str, ...], *, use: str = "serverAuth", subject: str = "/CN=postgres"
) -> dict[str, str]:
    """An authority of our own and one certificate for `names` (or addresses). Raises CannotMake.

    `use`: what it is for, in the words of OpenSSL's extendedKeyUsage.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        openssl(
            place,
            *("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.crt", "-days", str(AUTHORITY_DAYS)),
            *("-subj", "/CN=gardenos-postgres", "-addext", "keyUsage=critical,keyCertSign,cRLSign"),
        )
        openssl(place, "req", "-new", *key, "-keyout", "tls.key", "-out", "tls.csr", "-subj", subject)
        (place / "names").write_text(
            f"subjectAltName={','.join(map(alternative_name, names))}\nextendedKeyUsage={use}\n"
        )
        openssl(
            place,
            *("x509", "-req", "-in", "tls.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"),
            *("-days", str(CERTIFICATE_DAYS), "-extfile", "names", "-out", "tls.crt"),
        )
        return {name: (place / name).read_text() for name in ("ca.crt", "tls.crt", "tls.key")}


def alternative_name(name: str) -> str:
    try:
        return f"IP:{ipaddress.ip_address(name)}"
    except ValueError:
        return f"DNS:{name}"


def openssl(place: Path, *words: str) -> None:
    try:
        said = subprocess.run(  # noqa: S603
            ["openssl", *words],  # noqa: S607
            cwd=place,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        raise CannotMake("the program openssl is missing: apt-get install openssl") from None
    if said.returncode:
        raise CannotMake(f"openssl {words[0]} failed: {said.stderr.strip().splitlines()[-1]}")


def manifest(namespace: str, name: str, values: dict[str, str]) -> str:
    """One Secret as YAML; values as blocks, which need no quoting."""
    lines = [
        "apiVersion: v1",
        "kind: Secret",
        "metadata:",
        f"  name: {name}",
        f"  namespace: {namespace}",
        "  labels: {app.kubernetes.io/name: secrets, app.kubernetes.io/part-of: gardenos}",
        "type: Opaque",
        "stringData:",
    ]
    for key, value in values.items():
        lines += [f"  {key}: |" if value.endswith("\n") else f"  {key}: |-"]
        lines += [f"    {line}" for line in value.splitlines()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
