"""The command line: `python3 -m deploy.ops COMMAND --inventory FILE [--dry-run] [--json]`.

Exit codes: 0 everything holds, 1 something failed or does not hold, 2 wrong use or a wrong inventory.
"""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from deploy.ops import etcd
from deploy.ops.hosts import Fleet, Trouble
from deploy.ops.inventory import Inventory, WrongInventory, read
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


# command: (what it says in the help, what it does, whether it changes anything)
COMMANDS: dict[str, tuple[str, Callable[[Asked], bool], bool]] = {
    "etcd": ("etcd on the nodes: TLS, users by prefix, snapshots", set_up_etcd, True),
    "etcd-status": ("whether each member of etcd answers", etcd_status, False),
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
        except Trouble as trouble:
            run.note("all", words.command, "failed", str(trouble))
            holds = False
    if words.json:
        print(json.dumps({"command": words.command, **run.as_json()}, indent=1))
    else:
        print(summary(words.command, run))
    return OK if holds else FAILED
