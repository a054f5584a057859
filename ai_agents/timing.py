"""How long a pump does what. Seconds. The bounds that matter: claiming and draining together stay under
the queue's own timeout of 120 s, which must never fire; a lease outlives two missed renewals.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    claim_for_s: float = 45  # then the slot is let go and the successor starts
    drain_s: float = 45  # for the calls in flight after that
    stop_s: float = 3  # for the calls in flight when the cluster is told to stop
    lease_s: float = 30
    renew_s: float = 10
    slot_s: float = 15
    beat_s: float = 5  # heartbeat, slot
    control_s: float = 1  # pools are read again, expired leases taken back
    poll_s: float = 0.25  # how often an idle pump looks for work
    linger_s: float = 2  # how long it does so before it ends
