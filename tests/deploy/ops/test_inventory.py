"""An inventory names every field that is wrong; templates are filled in whole."""

from pathlib import Path

import pytest
import yaml

from deploy.ops import cli
from deploy.ops.etcd import span
from deploy.ops.inventory import WrongInventory, parse, read
from deploy.ops.templates import HOSTS, WrongTemplate, render
from tests.deploy.site import REPOSITORY

EXAMPLE = REPOSITORY / "deploy" / "inventory" / "example.yaml"


def example() -> dict:
    return yaml.safe_load(EXAMPLE.read_text())


def test_the_example_can_be_read():
    found = read(EXAMPLE)
    assert [node.name for node in found.nodes] == ["node-1", "node-2", "node-3"]
    assert not found.embedded
    assert found.secrets == EXAMPLE.parent / "secrets-production"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"nodes": []}, "nodes: must be three"),
        ({"colour": "blue"}, "colour: no such field"),
        ({"name": 7}, "name: must be a text"),
        ({"k3s": {"datastore": "mysql"}}, "k3s.datastore: must be external or embedded"),
        ({"etcd": {"url": "https://x/etcd.tar.gz"}}, "etcd: url and sha256"),
        ({"networks": {"nodes": "10.0.0.0/33"}}, "networks.nodes: '10.0.0.0/33' is no network"),
        ({"api": {"address": "192.168.1.1", "interface": "eth0"}}, "api.address: 192.168.1.1 is not in"),
        (
            {"api": {"address": "10.0.0.9", "interface": "eth0", "port": 6443}},
            "api.port: must be a free port",
        ),
        ({"ssh": {"port": "22"}}, "ssh.port: must be a whole number"),
        ({"admin_networks": ["here"]}, "admin_networks[0]: 'here' is no network"),
    ],
)
def test_a_wrong_field_is_named(change: dict, says: str):
    with pytest.raises(WrongInventory) as refused:
        parse(example() | change, Path("site.yaml"))
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("node", "says"),
    [
        ({"name": "node-1", "address": "10.9.0.11"}, "nodes[0].address: 10.9.0.11 is not in networks.nodes"),
        ({"name": "Node 1", "address": "10.0.0.11"}, "nodes[0].name: 'Node 1' is no host name"),
        ({"name": "node-1", "address": "10.0.0.12"}, "nodes: two have the same address"),
        ({"name": "node-1", "address": "10.0.0.11", "taints": ["x"]}, "nodes[0].taints: must be empty"),
    ],
)
def test_a_wrong_node_is_named(node: dict, says: str):
    site = example()
    site["nodes"][0] = node
    with pytest.raises(WrongInventory) as refused:
        parse(site, Path("site.yaml"))
    assert says in str(refused.value)


def test_a_wrong_inventory_is_wrong_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "site.yaml"
    assert cli.main(["etcd", "--inventory", str(path)]) == 2
    path.write_text("nodes: [")
    assert cli.main(["etcd", "--inventory", str(path)]) == 2
    said = capsys.readouterr().err
    assert "cannot be read" in said
    assert "is no YAML" in said


def test_a_template_wants_all_its_values_and_no_others():
    with pytest.raises(WrongTemplate, match="wants hour"):
        render("etcd/gardenos-etcd-defrag.timer")
    with pytest.raises(WrongTemplate, match="no place for minute"):
        render("etcd/gardenos-etcd-defrag.timer", hour="03", minute="1")


def test_every_host_file_is_part_of_a_command():
    source = "".join(path.read_text() for path in (REPOSITORY / "deploy" / "ops").glob("*.py"))
    for path in HOSTS.rglob("*"):
        if path.is_file() and path.name != "README.md":
            assert path.stem in source, path


def test_a_prefix_ends_before_the_next_one():
    assert span("/patroni/", True) == ("/patroni/", "/patroni0")
    assert span("compact_rev_key", False) == ("compact_rev_key", "")
