"""The list of invariants."""

from collections.abc import Callable, Iterator

from tests.deploy.site import Object, Pod, Site

Invariant = Callable[[Site], Iterator[str]]
INVARIANTS: dict[str, Invariant] = {}


def invariant(function: Invariant) -> Invariant:
    INVARIANTS[function.__name__] = function
    return function


def named(each: Object) -> str:
    return f"{each['kind']}/{each['metadata']['name']}"


def replicas(pod: Pod) -> int:
    return pod.owner["spec"].get("replicas", 1)
