"""The real application beside the cluster: migrated, web, both queues, with its mail server and its model."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from gardenos.running_alone import free_port
from tests.crm.mail.smtp_server import Sink, running_server
from tests.deploy.site import REPOSITORY
from tests.ha.cluster import Cluster
from tests.ha.pods import Pods, Prepared
from tests.ha.traffic import HOST, get
from tests.ha.waiting import until

POD = "app"
PORT = 8000
READY_S, MIGRATE_S, STOP_S = 90, 180, 30
ROLES = ("web", "worker", "agents")
MODEL_LATENCY_S = "0.3"


class Application:
    """Pods web, worker and agents of the rendered site, one of each, in one network namespace."""

    def __init__(self, cluster: Cluster, sink: Sink) -> None:
        self.pods: Pods = cluster.app
        self.sink = sink
        self.model_port = free_port()
        self.pods.more |= {
            "ALLOWED_HOSTS": f"app.gardenos.local,{HOST}",
            "AI_PROVIDER": "scripted",
            "SCRIPTED_LLM_URL": f"http://{HOST}:{self.model_port}/v1",
            "EMAIL_URL": f"smtp://{HOST}:{sink.port}",
            "API_RATE_PER_MINUTE": "1000000",
            "PYTHONPATH": str(REPOSITORY),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self.web = self.pods.prepare("web", "web-0", POD)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def prepare(self) -> None:
        """Static files, which the image has, and meanwhile the Job of the release.

        Raises RuntimeError with what they said.
        """
        static = self._beside("static")
        collect = ("python", "manage.py", "collectstatic", "--noinput", "--verbosity", "0")
        process = self.pods.start(static, POD, *collect)
        self.migrate()
        _must_succeed(process, static)

    def migrate(self) -> None:
        job = self.pods.prepare("migrate", "migrate", POD)
        _must_succeed(self.pods.start(job, POD), job)

    def start(self) -> None:
        self.start_model()
        for role in ROLES:
            self.start_role(role)
        until(lambda: get(PORT, "", "/readyz", {}, 5).status == 200, "web is ready", READY_S)

    def start_model(self) -> None:
        model = ["python", "manage.py", "scripted_llm", "--port", str(self.model_port)]
        model += ["--latency", MODEL_LATENCY_S]
        self.processes["model"] = self.pods.start(self._beside("model"), POD, *model)

    def start_role(self, role: str) -> None:
        prepared = self.web if role == "web" else self.pods.prepare(role, f"{role}-0", POD)
        self.processes[role] = self.pods.start(prepared, POD)

    def stop(self) -> None:
        """SIGTERM to all, as at the end of a pod; the kernel ends what stays."""
        for process in self.processes.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_S)

    def logs(self) -> Iterator[tuple[str, str]]:
        for path in sorted(self.pods.folder.glob("*/log.txt")):
            yield path.parent.name, path.read_text(errors="replace")

    def _beside(self, name: str) -> Prepared:
        root = self.pods.folder / name
        root.mkdir(exist_ok=True)
        return Prepared([], self.web.env, root, "root")

    # --- people --------------------------------------------------------------------------------------------
    def enter(self) -> None:
        """Give this process the rights of the application on the primary, past PgBouncer."""
        os.environ.update(self.web.env, DJANGO_SETTINGS_MODULE="gardenos.settings")
        os.environ["PATH"] = self.web.env["PATH"]
        os.environ["DATABASE_URL"] = self.web.env["DATABASE_LISTEN_URL"]
        os.environ["DATABASE_POOL"] = "off"
        import django

        django.setup()

    def people(self) -> tuple[str, str]:
        """(API token, session cookie) of an admin. Agents get something to do for every lead."""
        from django.conf import settings
        from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
        from django.contrib.sessions.backends.db import SessionStore
        from django.db import connection

        from crm.models import User
        from tests.chaos.run import set_up

        token = set_up()
        admin = User.objects.get(name="Chaos")
        session = SessionStore()
        session[SESSION_KEY] = str(admin.pk)
        session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
        session[HASH_SESSION_KEY] = admin.get_session_auth_hash()
        session.create()
        connection.close()
        return token, f"{settings.SESSION_COOKIE_NAME}={session.session_key}"


@contextlib.contextmanager
def running(cluster: Cluster, folder: Path, step: Callable[[str], None]) -> Iterator[Application]:
    """The application, migrated and ready. `step` is told what is done."""
    with running_server(folder / "mail") as sink:
        application = Application(cluster, sink)
        application.prepare()
        step("the database is migrated")
        try:
            application.start()
            step("the application is ready")
            yield application
        finally:
            application.stop()


def _must_succeed(process: subprocess.Popen[bytes], prepared: Prepared) -> None:
    if process.wait(MIGRATE_S):
        raise RuntimeError((prepared.root / "log.txt").read_text()[-3000:])


def python_path() -> str:
    """PATH with this interpreter's programs first, as in the image."""
    return f"{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin"
