"""The tool over real sshd into three machines with a real etcd; see machines.py. As root: make test-ops."""

import json
import os
import time
from collections.abc import Iterator

import pytest

from tests.deploy.ops.machines import NODES, Machines

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif("TEST_OPS" not in os.environ, reason="needs root and packages: make test-ops"),
]


@pytest.fixture(scope="module")
def machines() -> Iterator[Machines]:
    with Machines() as made:
        yield made


def test_preflight_looks_at_each_node_and_changes_nothing(machines: Machines):
    before = machines.state()
    found = machines.results(machines.ops("preflight", "--json"))
    outcomes = {(each["where"], each["what"]): each["outcome"] for each in found["results"]}
    for what in ("has 10.0.0.12", "reaches node-1", "reaches node-3", "room in /var/lib", "is root"):
        assert outcomes["node-2", what] == "ok", found
    assert machines.state() == before


def test_a_dry_run_on_empty_nodes_tells_everything_and_changes_nothing(machines: Machines):
    before = machines.state()
    said = machines.script("setup-etcd-cluster.sh", "--dry-run", "--json")
    assert said.returncode == 0, said.stdout + said.stderr
    found = machines.results(said)
    assert found["changed"] == 0
    assert found["would_change"] > 30
    assert machines.state() == before


def test_a_node_that_is_not_reached_stops_the_run_with_the_reason_and_the_next_run_goes_on(
    machines: Machines,
):
    machines.unplug("node-2")
    said = machines.script("setup-etcd-cluster.sh")
    machines.plug_in("node-2")
    assert said.returncode == 1
    assert "node-2 (10.0.0.12): not reached by ssh" in said.stdout
    done = said.stdout.count("  changed ")
    assert done > 12
    again = machines.results(machines.script("setup-etcd-cluster.sh", "--json"))
    assert again["failed"] == 0, again
    assert sum(each["outcome"] == "ok" for each in again["results"]) >= done


def test_the_second_run_changes_nothing(machines: Machines):
    before = machines.state()
    said = machines.script("setup-etcd-cluster.sh", "--json")
    found = machines.results(said)
    assert (said.returncode, found["changed"], found["failed"]) == (0, 0, 0), said.stdout
    assert machines.state() == before


def test_three_members_answer_and_each_user_is_held_to_its_prefix(machines: Machines):
    assert machines.ops("etcd-status").returncode == 0
    secrets = machines.folder / "secrets" / "etcd"
    for name in ("k3s.crt", "k3s.key"):
        (machines.folder / name).write_text((secrets / name).read_text())
    password = (secrets / "patroni-password").read_text().strip()
    send = f"cat > /run/etcd-client.crt <<'X'\n{(secrets / 'k3s.crt').read_text()}X\n"
    send += f"cat > /run/etcd-client.key <<'X'\n{(secrets / 'k3s.key').read_text()}X\n"
    machines.on("node-2", send)
    k3s = "gardenos-etcdctl --cert /run/etcd-client.crt --key /run/etcd-client.key"
    patroni = f"ETCDCTL_USER=patroni:{password} gardenos-etcdctl --cert /etc/gardenos/etcd/server.crt"
    patroni += " --key /etc/gardenos/etcd/server.key"
    for command in (
        f"{k3s} put /registry/a 1",
        f"{k3s} get --prefix /bootstrap",
        f"{patroni} put /patroni/a 1",
    ):
        assert machines.on("node-2", command, check=False).returncode == 0, command
    for command in (f"{k3s} get /patroni/a", f"{patroni} get /registry/a", f"{patroni} get --prefix /"):
        assert "permission denied" in machines.on("node-2", command, check=False).stderr, command


def test_a_changed_configuration_restarts_the_members_and_loses_nothing(machines: Machines):
    machines.on("node-2", "echo '# by hand' >> /etc/gardenos/etcd/etcd.yaml")
    found = machines.results(machines.script("setup-etcd-cluster.sh", "--json"))
    changed = [(each["where"], each["detail"]) for each in found["results"] if each["outcome"] == "changed"]
    assert changed == [("node-2", "/etc/gardenos/etcd/etcd.yaml has other contents")]
    assert json.loads(machines.on("node-1", "gardenos-etcdctl get /registry/a -w json").stdout)["count"] == 1


def test_a_snapshot_is_taken_checked_and_old_ones_go(machines: Machines):
    place = "/var/lib/gardenos-etcd-snapshots"
    days = " ".join(f"{place}/etcd-202601{day:02}T000000Z.db" for day in range(1, 29))
    machines.on("node-1", f"install -d -m 700 {place} && touch {days} && gardenos-etcd-snapshot")
    names = machines.on("node-1", f"ls {place}").stdout.split()
    assert len(names) == 8, names  # seven days, and the weeks before: one is not among them
    assert machines.on("node-1", f"stat -c %a {place}/{names[-1]}").stdout.strip() == "600"


def test_k3s_that_ends_at_once_stops_the_run_with_its_last_words_and_the_next_run_goes_on(machines: Machines):
    machines.on("node-2", "echo no room left on the disk > /run/k3s.broken")
    before = machines.state()
    assert machines.script("setup-gardenos-k3s.sh", "--dry-run").returncode == 0
    assert machines.state() == before
    said = machines.script("setup-gardenos-k3s.sh")
    assert said.returncode == 1
    assert "node-2: k3s.service ended at once: level=fatal msg=no room left on the disk" in said.stdout
    assert machines.on("node-3", "test -e /usr/local/bin/k3s", check=False).returncode == 1
    machines.on("node-2", "rm /run/k3s.broken")
    assert machines.script("setup-gardenos-k3s.sh").returncode == 0
    before = machines.state()
    found = machines.results(machines.script("setup-gardenos-k3s.sh", "--json"))
    assert (found["changed"], found["failed"]) == (0, 0)
    assert machines.state() == before
    assert machines.on("node-1", "cat /run/k3s.calls").stdout.count("server\n") == 1


def test_the_shared_address_is_on_one_node_and_leads_to_an_api_server(machines: Machines):
    said = machines.ops("lb")
    assert said.returncode == 0, said.stdout
    assert machines.results(machines.ops("lb", "--json"))["changed"] == 0
    asks = "curl -sk -o /dev/null -w '%{http_code}' https://10.0.0.10:7443/readyz"
    assert machines.on("node-3", asks).stdout == "401"


def test_the_firewall_lets_the_operator_in_and_nobody_else_to_etcd(machines: Machines):
    assert machines.ops("firewall").returncode == 0
    assert machines.results(machines.ops("firewall", "--json"))["changed"] == 0
    assert machines.ops("etcd-status").returncode == 0
    machines.on("node-1", "ip address add 10.0.9.1/16 dev eth0")  # an address that is no node's
    asks = "curl -sk --max-time 2 -o /dev/null --interface {} https://10.0.0.12:2379/; echo $?"
    assert machines.on("node-1", asks.format("10.0.0.11")).stdout.strip() != "28"
    assert machines.on("node-1", asks.format("10.0.9.1")).stdout.strip() == "28"  # curl: timed out


def test_a_firewall_without_its_operator_is_not_kept(machines: Machines):
    text = machines.inventory.read_text()
    changed = text.replace("nodes: 10.0.0.0/24", "nodes: 10.0.0.8/29")
    machines.inventory.write_text(changed)  # the operator is 10.0.0.2
    said = machines.ops("firewall")
    machines.inventory.write_text(text)
    assert said.returncode == 1
    assert "node-1 (10.0.0.11): not reached by ssh" in said.stdout
    time.sleep(60)
    assert machines.on("node-1", "nft list tables").stdout.strip() == ""


def test_the_status_names_every_point_of_access(machines: Machines):
    said = machines.script("gardenos-status.sh")
    assert said.returncode == 1  # nothing serves pages on these machines
    for place in ("https://10.0.0.12:2379", "https://10.0.0.13:6443", "https://10.0.0.10:7443 (shared)"):
        assert place in said.stdout
    assert "https://app.gardenos.local/ (answers 000)" in said.stdout


def test_all_nodes_were_asked(machines: Machines):
    said = machines.ops("etcd-status", "--json")
    assert [each["where"] for each in machines.results(said)["results"]] == list(NODES)
