"""The whole product, started as its users start it, and a browser in front of it."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from django.conf import settings
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.crm.mail.smtp_server import Sink, running_server

READY_S = 120
STOP_S = 20
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
CHROMIUM_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--font-render-hinting=none",
]
# What the caller's shell may hold and the stack must not see.
FOREIGN = re.compile(r"(DATABASE|EMAIL|CACHE|CHANNEL_LAYER|OPENAI|DEEPINFRA|SECRET|SITE|GARDENOS)_?")


@dataclass
class Stack:
    """A running GardenOS. `mails` is what really arrived at the SMTP server."""

    url: str
    email: str
    password: str
    mails: Sink
    environment: dict[str, str]
    _tokens: dict[tuple[str, ...], str] = field(default_factory=dict)

    def manage(self, *words: str, timeout_s: int = 120) -> str:
        """Run a manage.py command beside the stack; its standard output."""
        done = subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=settings.BASE_DIR,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    def token(self, *scopes: str) -> str:
        """An API token of the admin, with these scopes."""
        if scopes not in self._tokens:
            chosen = [word for scope in scopes for word in ("--scope", scope)]
            text = self.manage("create_api_token", "--email", self.email, "--name", "Website", *chosen)
            self._tokens[scopes] = text.split()[-1]
        return self._tokens[scopes]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """`manage.py up` with a database of its own, sample answers and a real SMTP server."""
    folder, port = tmp_path_factory.mktemp("stack"), free_port()
    with running_server(tmp_path_factory.mktemp("smtp")) as sink:
        environment = {name: value for name, value in os.environ.items() if not FOREIGN.match(name)}
        environment |= {
            "DJANGO_SETTINGS_MODULE": "gardenos.settings",
            "GARDENOS_DATA_DIR": str(folder / "data"),
            "GARDENOS_PORT": str(port),
            "AI_PROVIDER": "scripted",
            "EMAIL_URL": f"smtp://127.0.0.1:{sink.port}",
            "DEFAULT_FROM_EMAIL": "Garden Studio <hello@garden.example>",
        }
        log = folder / "up.log"
        with log.open("w") as out:
            process = subprocess.Popen(
                [sys.executable, "manage.py", "up"],
                cwd=settings.BASE_DIR,
                env=environment,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            login = _wait_until_ready(process, log)
            yield Stack(f"http://127.0.0.1:{port}", *login, sink, environment)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _wait_until_ready(process: subprocess.Popen, log: Path) -> tuple[str, str]:
    """The first login, once the address is printed."""
    import time

    until = time.monotonic() + READY_S
    while time.monotonic() < until:
        text = log.read_text()
        found = re.search(r"first admin (\S+), password (\S+)", text)
        if "GardenOS is ready" in text and found:
            return found.group(1), found.group(2)
        assert process.poll() is None, f"the stack ended while starting:\n{text[-3000:]}"
        time.sleep(0.2)
    raise AssertionError(f"the stack was not ready within {READY_S} s:\n{log.read_text()[-3000:]}")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if not CHROMIUM:
        pytest.fail("There is no Chromium here; run `make test-deps`, or set CHROMIUM.")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGS)
        yield started
        started.close()


class Complaints(list[str]):
    """What a browser complained about: script errors, CSP refusals, 5xx answers."""

    def watch(self, page: Page) -> None:
        page.on("pageerror", lambda error: self.append(f"script: {error}"))
        page.on(
            "console",
            lambda message: self.append(f"console: {message.text}") if message.type == "error" else None,
        )
        page.on(
            "response",
            lambda answer: self.append(f"{answer.status} {answer.url}") if answer.status >= 500 else None,
        )


@pytest.fixture
def complaints() -> Iterator[Complaints]:
    """Watches every page of the test; a single complaint fails it."""
    heard = Complaints()
    yield heard
    assert not heard, heard


NewPage = Callable[..., Page]


@pytest.fixture
def new_page(stack: Stack, browser: Browser, complaints: Complaints) -> Iterator[NewPage]:
    """Opens pages that are signed in, unless told otherwise: new_page(path, width=, theme=)."""
    contexts: list[BrowserContext] = []

    def open_page(path: str = "/", *, width: int = 1440, theme: str = "light", sign_in: bool = True) -> Page:
        context = browser.new_context(
            base_url=stack.url,
            viewport={"width": width, "height": 900 if width > 500 else 844},
            color_scheme=theme,  # type: ignore[arg-type]
            reduced_motion="reduce",
            has_touch=width < 500,
        )
        contexts.append(context)
        page = context.new_page()
        complaints.watch(page)
        if sign_in:
            sign_in_on(page, stack)
        if path != "/" or not sign_in:
            page.goto(path)
        return page

    yield open_page
    for context in contexts:
        context.close()


def sign_in_on(page: Page, stack: Stack) -> None:
    page.goto("/accounts/login/")
    page.get_by_label("E-mail").or_(page.get_by_label("Email")).fill(stack.email)
    page.get_by_label("Password").fill(stack.password)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Today", level=1)).to_be_visible()
