"""Steps: each knows whether it holds already, and how to make it so. A second run therefore changes nothing,
and a run that was cut short goes on where it stopped."""

import base64
import hashlib
import shlex
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import PurePosixPath

from deploy.ops.hosts import Host, Trouble

HERE = "here"  # the operator's machine
STAMPS = "/var/lib/gardenos-ops"


@dataclass(frozen=True)
class Step:
    """`check` says what is missing, or nothing if the step holds; it changes nothing. `apply` makes it so."""

    where: str
    what: str
    check: Callable[[], str]
    apply: Callable[[], None]


@dataclass(frozen=True)
class Result:
    where: str
    what: str
    outcome: str  # ok, changed, would change, failed
    detail: str = ""


@dataclass
class Run:
    """What became of the steps, in order."""

    dry_run: bool
    tell: Callable[[Result], None]
    results: list[Result] = field(default_factory=list)

    def note(self, *words: str) -> None:
        result = Result(*words)
        self.results.append(result)
        self.tell(result)

    def count(self, outcome: str) -> int:
        return sum(result.outcome == outcome for result in self.results)

    def as_json(self) -> dict[str, object]:
        return {
            "dry_run": self.dry_run,
            "changed": self.count("changed"),
            "would_change": self.count("would change"),
            "failed": self.count("failed"),
            "results": [asdict(result) for result in self.results],
        }

    def carry_out(self, steps: Iterable[Step]) -> bool:
        """True if every step holds at the end (or was planned); stops at the first that fails."""
        for step in steps:
            try:
                missing = step.check()
                if not missing:
                    self.note(step.where, step.what, "ok")
                    continue
                if self.dry_run:
                    self.note(step.where, step.what, "would change", missing)
                    continue
                step.apply()
                left = step.check()
            except Trouble as trouble:
                self.note(step.where, step.what, "failed", str(trouble))
                return False
            if left:
                self.note(step.where, step.what, "failed", f"still so afterwards: {left}")
                return False
            self.note(step.where, step.what, "changed", missing)
        return True


@dataclass(frozen=True)
class File:
    """A file as it has to be on a node. `text` is asked late: a key may be made by an earlier step."""

    path: str
    text: Callable[[], str | None]
    mode: str = "644"
    owner: str = "root:root"

    def digest(self) -> str:
        text = self.text()
        return "" if text is None else hashlib.sha256(text.encode()).hexdigest()


def files_step(host: Host, what: str, files: Iterable[File]) -> Step:
    """All files as they have to be; only those that are not are written."""
    wanted = tuple(files)

    def differing() -> dict[str, str]:
        found = host.states([file.path for file in wanted])
        return {file.path: why for file in wanted if (why := difference(file, found.get(file.path)))}

    def check() -> str:
        told = [f"{path} {why}" for path, why in differing().items()]
        return ", ".join(told[:2]) + (f" and {len(told) - 2} more" if len(told) > 2 else "")

    def apply() -> None:
        paths = differing()
        script = []
        for file in wanted:
            if file.path in paths:
                script.append(write_command(file))
        host.must("sh -eu -s", stdin="umask 077\n" + "\n".join(script) + "\n")

    return Step(host.name, what, check, apply)


def difference(file: File, found: tuple[str, str, str] | None) -> str:
    """Why the file is not as it has to be; empty if it is. `found`: sha256, mode, owner:group."""
    wanted = file.digest()
    if not wanted:
        return "is still to be made"
    if found is None:
        return "is missing"
    if found[0] != wanted:
        return "has other contents"
    return "" if found[1:] == (file.mode, file.owner) else f"is {found[1]} {found[2]}"


def write_command(file: File) -> str:
    """For sh: the file, whole or not at all. Raises Trouble if there is nothing to write yet."""
    text = file.text()
    if text is None:
        raise Trouble(f"{file.path}: its contents could not be made")
    path, new = shlex.quote(file.path), shlex.quote(f"{file.path}.new")
    folder = shlex.quote(str(PurePosixPath(file.path).parent))
    encoded = base64.b64encode(text.encode()).decode()
    return (
        f"test -d {folder} || install -d -m 755 {folder}\n"
        f"base64 -d >{new} <<'end'\n{encoded}\nend\n"
        f"chown {file.owner} {new}; chmod {file.mode} {new}; mv {new} {path}"
    )


def service_step(
    host: Host, unit: str, files: tuple[File, ...], *, restart: Callable[[Host], None] | None = None
) -> Step:
    """The unit runs, starts with the machine, and has been started since its files changed.

    `restart`: what to do instead of a plain restart when it already runs.
    """
    stamp = f"{STAMPS}/{unit}"

    def wanted() -> str:
        return hashlib.sha256("".join(file.digest() for file in files).encode()).hexdigest()

    def check() -> str:
        state = host.run(
            f"exec 2>/dev/null; systemctl is-enabled {unit}; systemctl is-active {unit}; cat {stamp}"
        ).out.split()
        if "enabled" not in state:
            return "does not start with the machine"
        if not {"active", "activating"} & set(state):
            return "does not run"
        return "" if wanted() in state else "runs with the files of before"

    def apply() -> None:
        host.must(f"systemctl daemon-reload && systemctl enable {unit}")
        if host.run(f"systemctl is-active {unit}").out.strip() != "active":
            host.run(f"systemctl reset-failed {unit}")
            host.must(f"systemctl start --no-block {unit}")
            time.sleep(1)
            if host.run(f"systemctl is-active {unit}").out.strip() in ("inactive", "failed"):
                raise Trouble(f"{host.name}: {unit} ended at once: {last_words(host, unit)}")
        elif restart is None:
            host.must(f"systemctl restart {unit}")
        else:
            restart(host)
        host.must(f"install -d -m 755 {STAMPS} && echo {wanted()} > {stamp}")

    return Step(host.name, f"{unit} runs", check, apply)


def answers_step(host: Host, what: str, silence: Callable[[], str], unit: str, *, timeout_s: float) -> Step:
    """Nothing is done but waiting until `silence` has nothing to say; the unit's last words tell why not."""

    def apply() -> None:
        try:
            until(silence, timeout_s=timeout_s)
        except Trouble as trouble:
            raise Trouble(f"{host.name}: {trouble}; {unit} said last: {last_words(host, unit)}") from None

    return Step(host.name, what, silence, apply)


def last_words(host: Host, unit: str) -> str:
    return host.run(f"journalctl -n 5 -o cat -u {unit}").last


def command_step(host: Host, what: str, *, holds: str, missing: str, do: str, timeout_s: float = 600) -> Step:
    """`holds` succeeds when nothing is to do; `do` makes it so; `missing` says what was missing."""

    def check() -> str:
        return missing if host.run(holds).code else ""

    def apply() -> None:
        host.must(do, timeout_s=timeout_s)

    return Step(host.name, what, check, apply)


def packages_step(host: Host, packages: tuple[str, ...]) -> Step:
    names = " ".join(shlex.quote(name) for name in packages)
    installed = f"dpkg-query -W -f '${{db:Status-Abbrev}}\\n' {names} 2>/dev/null | grep -c '^ii'"
    return command_step(
        host,
        f"packages {' '.join(packages)}",
        holds=f'test "$({installed})" = {len(packages)}',
        missing="not all are installed",
        do=f"export DEBIAN_FRONTEND=noninteractive; apt-get update -qq && "
        f"apt-get install --yes --no-install-recommends {names}",
    )


def download_step(host: Host, url: str, sha256: str, path: str) -> Step:
    """One program, whose checksum must be the one of the inventory. Changes nothing if it is another."""
    new = shlex.quote(f"{path}.new")
    return command_step(
        host,
        path,
        holds=f"echo {sha256}  {path} | sha256sum --check --status 2>/dev/null",
        missing="missing, or not the one of the inventory",
        do=f"curl -sS --fail --location --retry 3 --output {new} {shlex.quote(url)} || exit 1; "
        f"echo {sha256}  {new} | sha256sum --check --status || "
        f"{{ rm -f {new}; echo 'what {shlex.quote(url)} gave has another checksum' >&2; exit 1; }}; "
        f"chmod 755 {new} && mv {new} {shlex.quote(path)}",
    )


def until(holds: Callable[[], str], *, timeout_s: float) -> None:
    """Waits until `holds` says nothing any more. Raises Trouble with what it said last."""
    ends = time.monotonic() + timeout_s
    while said := holds():
        if time.monotonic() > ends:
            raise Trouble(f"{said} (waited {timeout_s:.0f} s)")
        time.sleep(0.5)
