"""etcd on the three nodes: TLS for clients and peers, users limited to their prefixes (docs/adr/0034).

Users by certificate (its CommonName): `root` for snapshots and these steps, `k3s` for K3s. Patroni speaks to
etcd's gateway, which refuses certificates with a CommonName (etcd, "Role-based access control", TLS common
name), so its user `patroni` has a password and its certificate has none; nor have the servers' own.
"""

import base64
import json
import secrets
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from deploy.ops.hosts import Host, Trouble
from deploy.ops.inventory import Inventory, Node
from deploy.ops.pki import Authority, Certificate
from deploy.ops.steps import (
    HERE,
    File,
    Step,
    command_step,
    download_step,
    files_step,
    packages_step,
    service_step,
    until,
)
from deploy.ops.templates import render

PLACE = "/etc/gardenos/etcd"
DATA = "/var/lib/gardenos-etcd"
UNIT = "gardenos-etcd.service"
CTL = "/usr/local/sbin/gardenos-etcdctl"
NOBODY = f"{CTL} --cert {PLACE}/server.crt --key {PLACE}/server.key"  # a certificate without a user
TIMERS = ("gardenos-etcd-defrag.timer", "gardenos-etcd-snapshot.timer")
# What K3s keeps outside of /registry: its own start data, and where the compaction stands
# (K3s, pkg/cluster/storage.go; Kubernetes, apiserver/pkg/storage/etcd3/compact.go).
ROLES: dict[str, tuple[tuple[str, bool], ...]] = {
    "k3s": (("/registry", True), ("/bootstrap", True), ("compact_rev_key", False)),
    "patroni": (("/patroni/", True),),
}


@dataclass(frozen=True)
class Etcd:
    inventory: Inventory
    hosts: tuple[Host, ...]

    @property
    def authority(self) -> Authority:
        return Authority(self.inventory.secrets / "etcd")

    def steps(self) -> Iterator[Step]:
        yield self.authority.step()
        for certificate in self.certificates():
            yield self.authority.certificate_step(certificate)
        yield self._password()
        yield from self._for_patroni()
        for host in self.hosts:
            yield from self.node_steps(host)
        yield self._healthy()
        yield from self._users()
        yield self._authentication()
        for host in self.hosts:
            for timer in TIMERS:
                yield service_step(host, timer, self._timer_files(host.node, timer))

    def certificates(self) -> tuple[Certificate, ...]:
        return (
            *(
                Certificate(
                    node.name,
                    "/O=etcd",
                    (f"IP:{node.address}", "IP:127.0.0.1", "DNS:localhost", f"DNS:{node.name}"),
                )
                for node in self.inventory.nodes
            ),
            Certificate("root", "/CN=root"),
            Certificate("k3s", "/CN=k3s"),
            Certificate("patroni", "/O=patroni"),
        )

    def node_steps(self, host: Host) -> Iterator[Step]:
        program = self.inventory.etcd
        if self._beside():
            yield packages_step(host, self._beside())
        if program.packages:
            # Debian's package would start an etcd of its own on the same ports.
            yield command_step(
                host,
                "Debian's own etcd.service stays off",
                holds='test "$(readlink /etc/systemd/system/etcd.service)" = /dev/null',
                missing="it could start",
                do="systemctl mask --now etcd.service",
            )
            yield packages_step(host, program.packages)
        else:
            yield download_step(host, program.url, program.sha256, "/usr/local/sbin/gardenos-etcd.tar.gz")
            yield command_step(
                host,
                "etcd and etcdctl unpacked",
                holds="test -x /usr/local/bin/etcd && test -x /usr/local/bin/etcdctl && "
                "test /usr/local/bin/etcd -nt /usr/local/sbin/gardenos-etcd.tar.gz",
                missing="missing, or older than the archive",
                do="tar -xzf /usr/local/sbin/gardenos-etcd.tar.gz -C /usr/local/bin --strip-components=1 "
                "--wildcards --touch '*/etcd' '*/etcdctl'",
            )
        yield command_step(
            host,
            "user etcd",
            holds="getent passwd etcd",
            missing="missing",
            do="useradd --system --user-group --no-create-home --shell /usr/sbin/nologin etcd",
        )
        yield command_step(
            host,
            DATA,
            holds=f"test \"$(stat -c '%a %U' {DATA})\" = '700 etcd'",
            missing="missing, or not etcd's own",
            do=f"install -d -m 700 -o etcd -g etcd {DATA}",
        )
        files = self.files(host.node)
        yield files_step(host, "certificates, configuration, units", files)
        yield service_step(
            host, UNIT, tuple(file for file in files if file.path not in BESIDE), restart=self._restart
        )

    def _beside(self) -> tuple[str, ...]:
        """Packages that the snapshots need."""
        wanted = {
            "age": bool(self.inventory.snapshot_recipients),
            "rsync": bool(self.inventory.snapshot_target),
        }
        return tuple(name for name, needed in wanted.items() if needed)

    def files(self, node: Node) -> tuple[File, ...]:
        def of(name: str) -> File:
            return File(
                f"{PLACE}/{name.replace(node.name, 'server')}",
                lambda: self.authority.text(name),
                mode="600" if name.endswith("key") else "644",
                owner="root:root" if name.startswith("root") else "etcd:etcd",
            )

        endpoints = ",".join(f"https://{each.address}:2379" for each in self.inventory.nodes)
        config = render(
            "etcd/etcd.yaml",
            name=node.name,
            address=node.address,
            data=DATA,
            place=PLACE,
            cluster=",".join(f"{each.name}=https://{each.address}:2380" for each in self.inventory.nodes),
            token=f"gardenos-{self.inventory.name}",
        )
        return (
            *(
                of(name)
                for name in ("ca.crt", f"{node.name}.crt", f"{node.name}.key", "root.crt", "root.key")
            ),
            File(f"{PLACE}/etcd.yaml", lambda: config),
            unit_file(UNIT),
            File(f"{PLACE}/recipients", lambda: lines(self.inventory.snapshot_recipients)),
            File(f"{PLACE}/snapshot-target", lambda: lines([self.inventory.snapshot_target])),
            File(CTL, lambda: render("etcd/gardenos-etcdctl", endpoints=endpoints, place=PLACE), mode="755"),
            File(
                "/usr/local/sbin/gardenos-etcd-snapshot",
                lambda: render("etcd/gardenos-etcd-snapshot"),
                mode="755",
            ),
            *(file for timer in TIMERS for file in self._timer_files(node, timer)),
        )

    def _timer_files(self, node: Node, timer: str) -> tuple[File, File]:
        """The nodes' turns lie an hour apart, so that two members never stand still at once."""
        hour = f"{2 + self.inventory.nodes.index(node):02}"
        values = {"hour": hour} if "defrag" in timer else {}
        return unit_file(timer, **values), unit_file(timer.replace("timer", "service"))

    def _password(self) -> Step:
        def check() -> str:
            return "" if self.authority.text("patroni-password") else "missing"

        def apply() -> None:
            self.authority.keep("patroni-password", secrets.token_urlsafe(24) + "\n")

        return Step(HERE, "Patroni's password in etcd", check, apply)

    def _for_patroni(self) -> Iterator[Step]:
        """The folder that deploy/site_secrets.py reads: ca.crt, tls.crt, tls.key."""
        for name, source in (("ca.crt", "ca.crt"), ("tls.crt", "patroni.crt"), ("tls.key", "patroni.key")):

            def check(name: str = name, source: str = source) -> str:
                text = self.authority.text(f"patroni/{name}")
                return "" if text and text == self.authority.text(source) else "missing, or of before"

            def apply(name: str = name, source: str = source) -> None:
                self.authority.keep(f"patroni/{name}", self.authority.text(source) or "")

            yield Step(HERE, f"patroni/{name}", check, apply)

    def ask(self, *words: str, stdin: str = "") -> str | None:
        """What etcdctl prints as `root`; None if it fails. From the first node that is reached."""
        said = self.hosts[0].run(shlex.join([CTL, *words]), stdin=stdin)
        return said.out if said.code == 0 else None

    def must(self, *words: str, stdin: str = "") -> str:
        return self.hosts[0].must(shlex.join([CTL, *words]), stdin=stdin)

    def health(self) -> dict[str, str]:
        """By node: nothing if its member answers, else why not. Asks each node about its own member."""
        found = {}
        for host in self.hosts:
            own = f"https://{host.node.address}:2379"
            said = host.run(f"{CTL} --endpoints {own} --command-timeout 3s endpoint health")
            found[host.name] = "" if said.code == 0 else said.last
        return found

    def _sick(self) -> str:
        sick = [name for name, why in self.health().items() if why]
        return f"no healthy member on {', '.join(sick)}" if sick else ""

    def _healthy(self) -> Step:
        def apply() -> None:
            try:
                until(self._sick, timeout_s=60)
            except Trouble as trouble:
                sick = [host for host in self.hosts if self.health()[host.name]]
                words = [
                    f"{host.name}: {host.run(f'journalctl -n 5 -o cat -u {UNIT}').last}" for host in sick
                ]
                raise Trouble(f"{trouble}; last in the journal: {'; '.join(words)}") from None

        return Step("all", "three healthy members", self._sick, apply)

    def _restart(self, host: Host) -> None:
        """One member at a time, and only while the other two keep the majority."""
        if sick := [name for name, why in self.health().items() if why and name != host.name]:
            raise Trouble(f"not restarted, because {', '.join(sick)} has no healthy member")
        host.must(f"systemctl restart --no-block {UNIT}")
        until(self._sick, timeout_s=60)

    def _users(self) -> Iterator[Step]:
        yield self._user("root", ("root",))
        for name in ROLES:
            yield self._role(name)
            yield self._user(name, (name,))

    def _role(self, name: str) -> Step:
        wanted = {span(key, prefix) for key, prefix in ROLES[name]}

        def check() -> str:
            said = self.ask("role", "get", name, "--write-out", "json")
            if said is None:
                return "missing"
            has = {
                (each["permType"], text(each["key"]), text(each.get("range_end", "")))
                for each in json.loads(said).get("perm", [])
            }
            return "" if has == {(2, *each) for each in wanted} else "may touch other keys"

        def apply() -> None:
            said = self.ask("role", "get", name, "--write-out", "json")
            if said is None:
                self.must("role", "add", name)
            for each in json.loads(said or "{}").get("perm", []):
                key, end = text(each["key"]), text(each.get("range_end", ""))
                if (each["permType"], key, end) not in {(2, *each) for each in wanted}:
                    self.must("role", "revoke-permission", name, key, *([end] if end else []))
            for key, end in sorted(wanted):
                self.must("role", "grant-permission", name, "readwrite", key, *([end] if end else []))

        return Step("all", f"role {name}: {', '.join(key for key, _ in ROLES[name])}", check, apply)

    def _user(self, name: str, roles: tuple[str, ...]) -> Step:
        def check() -> str:
            said = self.ask("user", "get", name, "--write-out", "json")
            if said is None:
                return "missing"
            if set(json.loads(said).get("roles", [])) != set(roles):
                return "has other roles"
            return "" if name != "patroni" or self._password_holds() else "has another password"

        def apply() -> None:
            password = (self.authority.text("patroni-password") or "").strip() if name == "patroni" else ""
            said = self.ask("user", "get", name, "--write-out", "json")
            if said is None and password:
                self.must("user", "add", name, "--interactive=false", stdin=f"{password}\n")
            elif said is None:
                self.must("user", "add", name, "--no-password")
            elif password:
                self.must("user", "passwd", name, "--interactive=false", stdin=f"{password}\n")
            has = set(json.loads(said or "{}").get("roles", []))
            for role in set(roles) - has:
                self.must("user", "grant-role", name, role)
            for role in has - set(roles):
                self.must("user", "revoke-role", name, role)

        return Step("all", f"user {name}", check, apply)

    def _password_holds(self) -> bool:
        """Whether Patroni could sign in; before authentication is on etcd cannot say, which counts as yes."""
        if not self._signs_in():
            return True
        password = self.authority.text("patroni-password") or ""
        command = f"read -r word; ETCDCTL_USER=patroni:$word {NOBODY} get /patroni/"
        return self.hosts[0].run(command, stdin=password).code == 0

    def _signs_in(self) -> bool:
        """Whether etcd asks who is there: a certificate without a name gets nothing then."""
        said = self.hosts[0].run(f"{NOBODY} get /nothing")
        return "permission denied" in said.err or "user name is empty" in said.err

    def _enable(self) -> None:
        self.must("auth", "enable")

    def _authentication(self) -> Step:
        return Step(
            "all",
            "only users with a role may read or write",
            lambda: "" if self._signs_in() else "anybody with a certificate may",
            self._enable,
        )


def unit_file(name: str, **values: str) -> File:
    return File(f"/etc/systemd/system/{name}", lambda: render(f"etcd/{name}", **values))


def lines(texts: Iterable[str]) -> str:
    return "".join(f"{text}\n" for text in texts if text)


BESIDE = {  # no reason to restart etcd
    CTL,
    "/usr/local/sbin/gardenos-etcd-snapshot",
    f"{PLACE}/root.crt",
    f"{PLACE}/root.key",
    f"{PLACE}/recipients",
    f"{PLACE}/snapshot-target",
    *(
        f"/etc/systemd/system/{name}"
        for timer in TIMERS
        for name in (timer, timer.replace("timer", "service"))
    ),
}


def span(key: str, prefix: bool) -> tuple[str, str]:
    """A key and where etcd's range ends: a prefix ends before the prefix whose last byte is one higher."""
    return key, key[:-1] + chr(ord(key[-1]) + 1) if prefix else ""


def text(encoded: str) -> str:
    return base64.b64decode(encoded).decode()
