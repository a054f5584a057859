"""The command line: `python3 -m deploy.ops COMMAND --inventory FILE [--dry-run] [--json]`.

Exit codes: 0 everything holds, 1 something failed or does not hold, 2 wrong use or a wrong inventory.
"""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from deploy.ops import etcd, preflight
from deploy.ops.firewall import Firewall
from deploy.ops.hosts import Fleet, Trouble
from deploy.ops.inventory import Inventory, WrongInventory, read
from deploy.ops.k3s import K3s, silent
from deploy.ops.lb import LoadBalancer
from deploy.ops.steps import Result, Run

OK, FAILED, WRONG_USE = 0, 1, 2


@dataclass(frozen=True)
class Asked:
    """What a command works with."""

    inventory: Inventory
    fleet: Fleet
    run: Run
    words: argparse.Namespace


def set_up_etcd(asked: Asked) -> bool:
    return asked.run.carry_out(etcd.Etcd(asked.inventory, asked.fleet.hosts).steps())


def etcd_status(asked: Asked) -> bool:
    for name, why in etcd.Etcd(asked.inventory, asked.fleet.hosts).health().items():
        asked.run.note(name, "etcd answers", "failed" if why else "ok", why)
    return not asked.run.count("failed")


def set_up_k3s(asked: Asked) -> bool:
    return asked.run.carry_out(K3s(asked.inventory, asked.fleet.hosts).steps())


def set_up_lb(asked: Asked) -> bool:
    return asked.run.carry_out(LoadBalancer(asked.inventory, asked.fleet.hosts).steps())


def set_up_firewall(asked: Asked) -> bool:
    return asked.run.carry_out(Firewall(asked.inventory, asked.fleet.hosts).steps())


def set_up(asked: Asked) -> bool:
    """In order; stops at the first part that fails."""
    if not look_before(asked) or not set_up_etcd(asked) or not set_up_k3s(asked):
        return False
    return (asked.inventory.api is None or set_up_lb(asked)) and set_up_firewall(asked)


def look_before(asked: Asked) -> bool:
    for host in asked.fleet.hosts:
        try:
            for what, fault in preflight.node_faults(host, asked.inventory):
                asked.run.note(host.name, what, "failed" if fault else "ok", fault)
        except Trouble as trouble:
            asked.run.note(host.name, "is reached", "failed", str(trouble))
    if not asked.run.count("failed"):
        fault = preflight.clocks_differ(asked.fleet.hosts)
        asked.run.note("all", "one time", "failed" if fault else "ok", fault)
    return not asked.run.count("failed")


def status(asked: Asked) -> bool:
    """Every point of access, and whether the nodes behind it answer."""
    site, hosts = asked.inventory, asked.fleet.hosts
    for name, why in etcd.Etcd(site, hosts).health().items():
        asked.run.note(name, f"etcd https://{site.node(name).address}:2379", "failed" if why else "ok", why)
    for host in hosts:
        why = silent(host)
        place = f"Kubernetes https://{host.node.address}:6443"
        asked.run.note(host.name, place, "failed" if why else "ok", why)
    if site.api:
        why = LoadBalancer(site, hosts).without_owner()
        place = f"Kubernetes https://{site.api.address}:{site.api.port} (shared)"
        asked.run.note("all", place, "failed" if why else "ok", why)
    unready = K3s(site, hosts).unready()
    asked.run.note("all", "three nodes are ready", "failed" if unready else "ok", unready)
    for name in (site.app_host, site.api_host):
        places = "curl --silent --output /dev/null --write-out '%{http_code}' --max-time 5 --insecure"
        said = hosts[0].run(f"{places} --resolve {name}:443:{hosts[0].node.address} https://{name}/livez")
        why = "" if said.out == "200" else f"answers {said.out or said.last}"
        asked.run.note("all", f"https://{name}/", "failed" if why else "ok", why)
    return not asked.run.count("failed")


# command: (what it says in the help, what it does, whether it changes anything)
COMMANDS: dict[str, tuple[str, Callable[[Asked], bool], bool]] = {
    "preflight": ("whether the three servers can become a site; changes nothing", look_before, False),
    "setup": ("preflight, etcd, k3s, lb and firewall in order", set_up, True),
    "etcd": ("etcd on the nodes: TLS, users by prefix, snapshots", set_up_etcd, True),
    "etcd-status": ("whether each member of etcd answers", etcd_status, False),
    "k3s": ("K3s on the nodes, one after the other", set_up_k3s, True),
    "lb": ("one address for the API servers: HAProxy and keepalived", set_up_lb, True),
    "firewall": ("what may reach the nodes: nftables", set_up_firewall, True),
    "status": ("every point of access and whether it answers", status, False),
}


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="ops", description="Set up and look after a site on three nodes.")
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (tells, _, changes) in COMMANDS.items():
        command = commands.add_parser(name, help=tells, description=tells)
        command.add_argument(
            "--inventory", type=Path, required=True, help="the site's file (deploy/inventory)"
        )
        command.add_argument("--json", action="store_true", help="one JSON object instead of lines")
        if changes:
            command.add_argument(
                "--dry-run", action="store_true", help="say what would change, change nothing"
            )
    return made


def line(result: Result) -> str:
    detail = f" ({result.detail})" if result.detail else ""
    return f"  {result.outcome:<12} {result.where:<8} {result.what}{detail}"


def summary(command: str, run: Run) -> str:
    """The last line, for people."""
    if run.count("failed") and not COMMANDS[command][2]:
        return f"{command}: {run.count('failed')} of {len(run.results)} failed"
    if run.count("failed"):
        return f"{command}: {run.count('failed')} failed; the next run goes on from what holds"
    if run.count("would change"):
        return (
            f"{command}: would change {run.count('would change')} of {len(run.results)}; nothing was changed"
        )
    return f"{command}: {run.count('changed')} changed, {run.count('ok')} held already"


def main(argv: list[str]) -> int:
    words = parser().parse_args(argv)
    _, command, _ = COMMANDS[words.command]
    try:
        inventory = read(words.inventory)
    except WrongInventory as error:
        sys.stderr.write(f"ops: {error}\n")
        return WRONG_USE

    def tell(result: Result) -> None:
        if not words.json:
            print(line(result), flush=True)

    run = Run(dry_run=getattr(words, "dry_run", False), tell=tell)
    with Fleet(inventory) as fleet:
        try:
            holds = command(Asked(inventory, fleet, run, words))
        except WrongInventory as error:
            sys.stderr.write(f"ops: {error}\n")
            return WRONG_USE
        except Trouble as trouble:
            run.note("all", words.command, "failed", str(trouble))
            holds = False
    if words.json:
        print(json.dumps({"command": words.command, **run.as_json()}, indent=1))
    else:
        print(summary(words.command, run))
    return OK if holds else FAILED
