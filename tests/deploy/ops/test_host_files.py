"""The files for the nodes, as the programs that read them see them; skipped where a program is not here."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from deploy.ops.firewall import Firewall
from deploy.ops.hosts import Host
from deploy.ops.inventory import Inventory, parse
from deploy.ops.k3s import K3s
from deploy.ops.lb import LoadBalancer
from tests.deploy.ops.test_inventory import example


def site(**changes: object) -> Inventory:
    api = {"address": "10.0.0.10", "interface": "lo"}
    return parse(example() | {"api": api} | changes, Path("site.yaml"))


def hosts(inventory: Inventory) -> tuple[Host, ...]:
    """Nothing is asked of them here."""
    return tuple(Host(node, ("false",), sudo=False) for node in inventory.nodes)


def program(name: str) -> str:
    found = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")
    if found is None:
        pytest.skip(f"{name} is not here: .ci/test-deps deploy")
    return found


def test_haproxy_takes_its_file(tmp_path: Path):
    inventory = site()
    path = tmp_path / "haproxy.cfg"
    path.write_text(LoadBalancer(inventory, hosts(inventory)).haproxy())
    said = subprocess.run([program("haproxy"), "-c", "-f", path], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr


def test_keepalived_takes_its_file(tmp_path: Path):
    names = sorted(set(os.listdir("/sys/class/net")) - {"lo"})
    if not names:
        pytest.skip("keepalived wants a network interface beside lo")
    inventory = site(api={"address": "10.0.0.10", "interface": names[0]})
    balancer = LoadBalancer(inventory, hosts(inventory))
    config, check, _ = balancer.keepalived_files(inventory.nodes[1])
    script = tmp_path / "check"
    script.write_text(check.text() or "")
    script.chmod(0o755)
    path = tmp_path / "keepalived.conf"
    path.write_text((config.text() or "").replace(check.path, str(script)))
    said = subprocess.run(
        [program("keepalived"), "-t", "-f", path, "-l", "-n"], capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stdout + said.stderr


def test_nft_takes_the_rules(tmp_path: Path):
    if os.geteuid():
        pytest.skip("nft asks the kernel, as root")
    inventory = site(admin_networks=["192.0.2.0/24", "2001:db8::/64"])
    path = tmp_path / "firewall.nft"
    path.write_text(Firewall(inventory, hosts(inventory)).rules())
    assert "ip6 saddr 2001:db8::/64 tcp dport { 22, 6443, 7443 } accept" in path.read_text()
    said = subprocess.run([program("nft"), "-c", "-f", path], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr


def test_the_nodes_differ_in_priority_and_name_each_other_as_peers():
    inventory = site()
    balancer = LoadBalancer(inventory, hosts(inventory))
    files = [balancer.keepalived_files(node)[0].text() or "" for node in inventory.nodes]
    assert [text.split("priority ")[1].split()[0] for text in files] == ["120", "110", "100"]
    assert "10.0.0.11" not in files[0].split("unicast_peer")[1]


def configs(inventory: Inventory) -> list[dict]:
    return [yaml.safe_load(K3s(inventory, hosts(inventory)).config(node)) for node in inventory.nodes]


def test_k3s_keeps_its_data_in_the_etcd_of_the_nodes_over_tls():
    for config in configs(site()):
        assert config["datastore-endpoint"].split(",") == [f"https://10.0.0.{n}:2379" for n in (11, 12, 13)]
        assert config["datastore-keyfile"] == "/etc/gardenos/k3s-etcd/tls.key"
        assert "cluster-init" not in config


def test_embedded_is_a_switch_and_the_first_node_begins():
    first, *others = configs(site(k3s={"datastore": "embedded"}))
    assert first["cluster-init"] is True
    assert {each["server"] for each in others} == {"https://10.0.0.11:6443"}
    assert all("datastore-endpoint" not in each for each in (first, *others))


def test_the_shared_address_is_in_the_certificates_and_no_node_is_tainted():
    for config in configs(site()):
        assert "10.0.0.10" in config["tls-san"]
        assert "node-taint" not in config
        assert "gardenos.local/database=true" in config["node-label"]
