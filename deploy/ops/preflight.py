"""Whether three servers can become a site: read-only questions to each node, before anything is installed."""

import time
from collections.abc import Iterator

from deploy.ops.hosts import Host
from deploy.ops.inventory import Inventory

MEMORY_MIB, DISK_MIB = 3500, 20_000  # "4 GB" servers have a little less
QUESTIONS = """
. /etc/os-release; echo "system $ID"
echo "memory $(awk '/MemTotal/ { print int($2 / 1024) }' /proc/meminfo)"
echo "disk $(df -Pm /var/lib | awk 'NR == 2 { print $4 }')"
echo "addresses $(ip -oneline address show | awk '{ print $4 }' | cut -d / -f 1 | tr '\\n' ' ')"
echo "swap $(awk 'NR > 1' /proc/swaps | wc -l)"
echo "root $(id -u)"
"""


def node_faults(host: Host, inventory: Inventory) -> Iterator[tuple[str, str]]:
    """(what was looked at, what is wrong or nothing) for one node. Raises Trouble if it is not reached."""
    said = dict(line.split(" ", 1) for line in host.must(QUESTIONS).splitlines() if " " in line)
    yield (
        "is root",
        "" if said["root"] == "0" else f"runs as user {said['root']}: give sudo, or ssh.user root",
    )
    yield "Debian or Ubuntu", "" if said["system"] in ("debian", "ubuntu") else f"is {said['system']}"
    yield "memory", enough(int(said["memory"]), MEMORY_MIB)
    yield "room in /var/lib", enough(int(said["disk"]), DISK_MIB)
    yield "no swap", "" if said["swap"] == "0" else "swap is on: swapoff -a, and out of /etc/fstab"
    address = host.node.address
    has = said["addresses"].split()
    yield f"has {address}", "" if address in has else f"has {' '.join(has)}"
    for other in inventory.nodes:
        if other != host.node:
            reached = host.run(f"timeout 3 bash -c '</dev/tcp/{other.address}/{inventory.ssh.port}'")
            yield (
                f"reaches {other.name}",
                "" if reached.code == 0 else f"port {inventory.ssh.port} of {other.address} does not answer",
            )


def enough(has: int, wanted: int) -> str:
    return "" if has >= wanted else f"{has} MiB; {wanted} are needed"


def clocks_differ(hosts: tuple[Host, ...]) -> str:
    """How far the nodes' clocks are apart, if two seconds or more; certificates and etcd need one time."""
    ahead = {host.name: seconds_ahead(host) for host in hosts}
    if max(ahead.values()) - min(ahead.values()) < 2:
        return ""
    return "the clocks differ: " + ", ".join(f"{name} {seconds:+.1f} s" for name, seconds in ahead.items())


def seconds_ahead(host: Host) -> float:
    """Of this machine's clock, taken in the middle of the question."""
    asked = time.time()
    said = float(host.must("date +%s.%N"))
    return said - (asked + time.time()) / 2
