"""The tool over real sshd into three machines with a real etcd; see machines.py. As root: make test-ops."""

import json
import os
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
    send = f"cat > /root/k3s.pem <<'X'\n{(secrets / 'k3s.crt').read_text()}X\n"
    send += f"cat > /root/k3s.key <<'X'\n{(secrets / 'k3s.key').read_text()}X\n"
    machines.on("node-2", send)
    k3s = "gardenos-etcdctl --cert /root/k3s.pem --key /root/k3s.key"
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


def test_all_nodes_were_asked(machines: Machines):
    said = machines.ops("etcd-status", "--json")
    assert [each["where"] for each in machines.results(said)["results"]] == list(NODES)
