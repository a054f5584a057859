"""What happens to the cluster. Each event harms and says how to mend it."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.ha.cluster import Cluster
from tests.ha.places import NODES
from tests.ha.waiting import until

PLANNED_S, HARD_S = 5.0, 30.0  # the goals: the longest pause of acknowledged writes
NEW_PRIMARY_S = 90
ETCD_AWAY_S = 30  # longer than the ttl: without failsafe_mode the primary would have stepped down
STANDBY_AWAY_S = 15  # longer than wal_sender_timeout
SETTLE_S = 1.0

Mend = Callable[[], None]
Cut = Callable[[str], None]  # a client that stays on the side of the old primary


@dataclass(frozen=True)
class Event:
    name: str
    goal_s: float
    act: Callable[[Cluster, Cut], Mend]
    in_smoke: bool = False


def _nothing() -> None:
    return


def _until_other_primary(cluster: Cluster, old: str) -> None:
    until(lambda: cluster.primary() not in {"", old}, f"a primary other than {old}", NEW_PRIMARY_S)


def switch_over(cluster: Cluster, _isolate: Cut) -> Mend:
    old = cluster.primary()
    said = cluster.switch_over(old)
    if "Successfully" not in said:
        raise RuntimeError(f"Patroni refused the switchover: {said}")
    _until_other_primary(cluster, old)
    return _nothing


def kill_postgresql(cluster: Cluster, _isolate: Cut) -> Mend:
    old = cluster.primary()
    cluster.kill(old, patroni=False)
    _until_other_primary(cluster, old)
    return _nothing


def kill_member(cluster: Cluster, _isolate: Cut) -> Mend:
    """Patroni and PostgreSQL at once, as when the node loses its power; it comes back later."""
    old = cluster.primary()
    cluster.kill(old, patroni=True)
    _until_other_primary(cluster, old)
    return lambda: cluster.start_member(old)


def cut_primary(cluster: Cluster, isolate: Cut) -> Mend:
    """The primary's node is cut off, with a client on its side that goes on writing to it."""
    old = cluster.primary()
    isolate(old)
    cluster.cut(old)
    _until_other_primary(cluster, old)
    time.sleep(SETTLE_S)
    return lambda: cluster.mend(old)


def kill_etcd_leader(cluster: Cluster, _isolate: Cut) -> Mend:
    leader = cluster.etcd.leader()
    cluster.etcd.kill(leader)
    time.sleep(STANDBY_AWAY_S)
    return lambda: cluster.etcd.start(leader)


def kill_all_etcd(cluster: Cluster, _isolate: Cut) -> Mend:
    cluster.etcd.kill()
    time.sleep(ETCD_AWAY_S)
    return cluster.etcd.start


def cut_standby(cluster: Cluster, _isolate: Cut) -> Mend:
    primary = cluster.primary()
    standby = next(node for node in NODES if node != primary)
    cluster.cut(standby)
    time.sleep(STANDBY_AWAY_S)
    return lambda: cluster.mend(standby)


EVENTS = (
    Event("planned switchover", PLANNED_S, switch_over, in_smoke=True),
    Event("SIGKILL of PostgreSQL", HARD_S, kill_postgresql, in_smoke=True),
    Event("SIGKILL of Patroni and PostgreSQL", HARD_S, kill_member),
    Event("primary's node cut off", HARD_S, cut_primary),
    Event("SIGKILL of etcd's leader", PLANNED_S, kill_etcd_leader),
    Event(f"all etcd away for {ETCD_AWAY_S} s", PLANNED_S, kill_all_etcd),
    Event("a standby's node cut off", PLANNED_S, cut_standby),
)
