"""The product's settings, with a pump's leases as much shorter as the watchdog's limits are."""

from gardenos.settings import *  # noqa: F403

AI_TIMING = {"lease_s": 8, "renew_s": 2, "slot_s": 4, "beat_s": 0.5, "control_s": 0.5}
