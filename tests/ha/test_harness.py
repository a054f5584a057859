"""The parts of the failover suite that judge; the suite itself is `make test-ha`."""

import struct
from pathlib import Path

import pytest
import yaml

from tests.deploy.site import REPOSITORY
from tests.ha.names import answer
from tests.ha.places import ADDRESSES, NAMES
from tests.ha.rows import acknowledged, longest_gap
from tests.ha.traffic import Answer, wrong


def question(name: str, kind: int = 1) -> bytes:
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    return struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", kind, 1)


def test_a_member_is_found_by_its_name_in_any_case():
    said = answer(question("Postgres-1.postgres.gardenos.svc.cluster.local"), NAMES)
    assert said[:2] == b"\0\x07"
    assert ".".join(str(each) for each in said[-4:]) == ADDRESSES["postgres-1"]


def test_an_unknown_name_is_said_to_be_none_and_other_types_are_empty():
    assert answer(question("nobody.example"), NAMES)[3] & 0x0F == 3
    other = answer(question("pgbouncer.gardenos.svc.cluster.local", kind=28), NAMES)
    assert (other[3] & 0x0F, struct.unpack_from("!H", other, 6)) == (0, (0,))


@pytest.mark.parametrize("cut", [b"", b"\0\x07", question("postgres-rw")[:-3]])
def test_what_is_no_question_gets_no_answer(cut: bytes):
    with pytest.raises(ValueError, match="short"):
        answer(cut, NAMES)


@pytest.mark.parametrize(
    ("times", "gap"),
    [
        ([1.0, 2.0, 3.0, 7.5, 8.0, 9.0], 4.5),
        ([1.0, 1.9, 8.9], 7.0),  # the last before the span counts
        ([2.5, 3.0], 6.0),  # never again
        ([], 7.0),
    ],
)
def test_the_outage_is_the_longest_pause_that_reaches_into_the_span(times: list[float], gap: float):
    assert longest_gap(times, 2.0, 9.0) == pytest.approx(gap)


def test_a_row_counts_as_acknowledged_once_its_line_is_whole(tmp_path: Path):
    ledger = tmp_path / "writer.ledger"
    ledger.write_text("1 10.000\n3 10.200\n4 10.")
    assert acknowledged(ledger) == {1: 10.0, 3: 10.2}


def test_everything_but_success_and_an_honest_no_is_wrong():
    def said(status: int, kind: str = "read", *, when: bool = False, why: str = "") -> Answer:
        return Answer(0, kind, "/leads/?limit=20", status, when, 0, why)

    fine = [said(200), said(302), said(412, "write"), said(503, when=True)]
    bad = [said(500), said(503), said(0, why="TimeoutError"), said(503, "livez", when=True)]
    assert wrong(fine) == {}
    assert wrong([*fine, *bad]) == {
        "read /leads/: 500": 1,
        "read /leads/: 503": 1,
        "read /leads/: TimeoutError": 1,
        "livez /leads/: 503": 1,
    }


def test_who_rewinds_a_former_primary_may_connect_to_the_new_one():
    """pg_rewind reads the primary through the database postgres, which is closed to everybody else."""
    patroni = yaml.safe_load((REPOSITORY / "deploy/k8s/base/postgres/patroni.yml").read_text())
    roles = (REPOSITORY / "deploy/docker/postgres/make-roles").read_text()
    name = patroni["postgresql"]["authentication"]["rewind"]["username"]
    revoked, granted = (
        roles.index("REVOKE CONNECT ON DATABASE postgres FROM PUBLIC"),
        roles.index(f"GRANT CONNECT ON DATABASE postgres TO {name};"),
    )
    assert roles.index(f"CREATE ROLE {name} ") < granted
    assert revoked < granted
