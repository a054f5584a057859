"""Rolling restarts under load: every process of web, worker and agents is replaced, its successor first.

As the Deployments say: one more than wanted (maxSurge 1), none less (maxUnavailable 0). A successor takes
over once its probe is content; its predecessor is taken out of the way in, sleeps as its preStop says, gets
SIGTERM and has the time of its terminationGracePeriodSeconds. Scheduling and pulling of images are not in it.
"""

import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread

from tests.deploy.images.network import PodNetwork
from tests.ha.application import POD, PORT, Application
from tests.ha.front import PORT as PORT_OF_FRONT
from tests.ha.front import Front
from tests.ha.scene import Crowd
from tests.ha.traffic import get
from tests.ha.waiting import until

AT_50 = Crowd(PORT_OF_FRONT, readers=52, pause_s=0.5, light=9)  # 50 requests a second and some more
QUEUES = {"worker": "default", "agents": "ai"}
READY_S = 120


@dataclass
class Rollout:
    """What one rolling restart took, in seconds: all of it, and the longest end of a predecessor."""

    took_s: float = 0
    ends_s: dict[str, float] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)


class Deployments:
    """Two web processes behind a way in, one worker, one agents; `roll` replaces all of them."""

    def __init__(self, application: Application, network: PodNetwork, folder: Path) -> None:
        self.application, self.pods = application, application.pods
        self.front = Front(folder, network, POD)
        self._count = 0
        self.web: dict[int, subprocess.Popen[bytes]] = {PORT: application.processes.pop("web")}
        self.queues = {role: application.processes.pop(role) for role in QUEUES}
        until(lambda: (folder / "front.sock").exists(), "the way in", 10)
        self.front.let_in(PORT)
        port = self._start_web()
        self._wait_for_web(port)
        self.front.let_in(port)

    def roll(self) -> Rollout:
        began, rollout = time.monotonic(), Rollout()
        threads = [Thread(target=self._guarded, args=(self._roll_queue, role, rollout)) for role in QUEUES]
        threads.append(Thread(target=self._guarded, args=(self._roll_web, "web", rollout)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        rollout.took_s = time.monotonic() - began
        return rollout

    def stop(self) -> None:
        for process in (*self.web.values(), *self.queues.values(), self.front.process):
            process.terminate()
        for process in (*self.web.values(), *self.queues.values(), self.front.process):
            process.wait(60)

    def _guarded(self, what, role: str, rollout: Rollout) -> None:  # type: ignore[no-untyped-def]
        try:
            what(role, rollout)
        except (TimeoutError, RuntimeError, subprocess.TimeoutExpired) as error:
            rollout.troubles.append(f"{role}: {error}")

    # --- web -----------------------------------------------------------------------------------------------
    def _roll_web(self, role: str, rollout: Rollout) -> None:
        for old in list(self.web):
            port = self._start_web()
            self._wait_for_web(port)
            self.front.let_in(port)
            self.front.let_out(old)
            time.sleep(self._pre_stop_s(role))
            self._end(self.web.pop(old), role, rollout)

    def _start_web(self) -> int:
        self._count += 1
        port = PORT + self._count
        prepared = self.pods.prepare("web", f"web-{self._count}", POD)
        prepared.env["GARDENOS_PORT"] = str(port)
        static = prepared.root / "var/lib/gardenos/static"
        if not static.exists():
            static.symlink_to(self.application.web.root / "var/lib/gardenos/static")
        self.web[port] = self.pods.start(prepared, POD)
        return port

    def _wait_for_web(self, port: int) -> None:
        until(lambda: get(port, "", "/readyz", {}, 5).status == 200, "a new web process is ready", READY_S)

    # --- queues --------------------------------------------------------------------------------------------
    def _roll_queue(self, role: str, rollout: Rollout) -> None:
        self._count += 1
        prepared = self.pods.prepare(role, f"{role}-{self._count}", POD)
        new = self.pods.start(prepared, POD)
        log = prepared.root / "probe"
        log.mkdir(exist_ok=True)
        check = ["python", "manage.py", "qcluster_watch", "--check", "--cluster", QUEUES[role]]
        until(
            lambda: self.pods.start(prepared, POD, *check).wait(60) == 0,
            f"a new {role} works",
            READY_S,
        )
        self._end(self.queues[role], role, rollout)
        self.queues[role] = new

    # --- ending --------------------------------------------------------------------------------------------
    def _end(self, process: subprocess.Popen[bytes], role: str, rollout: Rollout) -> None:
        began = time.monotonic()
        process.terminate()
        code = process.wait(self._grace_s(role))
        rollout.ends_s[role] = max(rollout.ends_s.get(role, 0), time.monotonic() - began)
        if code:
            rollout.troubles.append(f"{role} ended with {code}")

    def _grace_s(self, role: str) -> float:
        return self.pods.site.pod(role).spec["terminationGracePeriodSeconds"]

    def _pre_stop_s(self, role: str) -> float:
        [container] = self.pods.site.pod(role).spec["containers"]
        return float(container["lifecycle"]["preStop"]["exec"]["command"][1])
