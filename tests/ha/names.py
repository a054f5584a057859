"""The names of Services and members, as the cluster's DNS would answer them: `python -m tests.ha.names`.

A records over UDP (RFC 1035 section 4), enough for the C library, HAProxy's resolvers and PgBouncer.
"""

import socket
import struct

from tests.ha.places import ADDRESSES, NAMES

A, ANY_CLASS_IN = 1, 1
TTL_S = 5
OK, NO_SUCH_NAME = 0, 3
HEADER = struct.Struct("!6H")


def answer(question: bytes, names: dict[str, str]) -> bytes:
    """The reply to a query; other types than A get an empty one. Raises ValueError for what is no query."""
    if len(question) < HEADER.size:
        raise ValueError("too short")
    number, flags, *_counts = HEADER.unpack_from(question)
    labels, at = [], HEADER.size
    while at < len(question) and question[at]:
        labels.append(question[at + 1 : at + 1 + question[at]].decode("ascii", "replace"))
        at += 1 + question[at]
    end = at + 5
    if end > len(question):
        raise ValueError("cut short")
    (kind,) = struct.unpack_from("!H", question, at + 1)
    address = names.get(".".join(labels).lower())
    record = b""
    if address and kind == A:
        record = struct.pack("!HHHIH", 0xC00C, A, ANY_CLASS_IN, TTL_S, 4) + socket.inet_aton(address)
    code = OK if address else NO_SUCH_NAME
    head = HEADER.pack(number, 0x8480 | (flags & 0x0100) | code, 1, 1 if record else 0, 0, 0)
    return head + question[HEADER.size : end] + record


def main() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((ADDRESSES["app"], 53))
        while True:
            question, sender = server.recvfrom(1500)
            try:
                server.sendto(answer(question, NAMES), sender)
            except (ValueError, OSError):
                continue


if __name__ == "__main__":
    main()
