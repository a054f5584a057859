"""EMAIL_URL as Django's mail settings."""

from email.utils import parseaddr
from urllib.parse import unquote, urlsplit

from gardenos.env import Env


def mail_settings(env: Env, url: str) -> dict[str, object]:
    """Django's EMAIL_* for `smtp://`, `smtps://` (TLS from the start) or `smtp+tls://` (STARTTLS).

    Without an address mail goes to the catcher's backend (embedded set-up) and nothing leaves the machine.
    """
    if not url:
        return {"EMAIL_BACKEND": "crm.mail.CatcherBackend"}
    parts = urlsplit(url)
    if not parts.hostname:
        env.refuse("EMAIL_URL", "names no host; write smtp://user:password@host:587")
    return {
        "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "EMAIL_HOST": parts.hostname,
        "EMAIL_PORT": parts.port or {"smtp": 25, "smtps": 465, "smtp+tls": 587}[parts.scheme],
        "EMAIL_HOST_USER": unquote(parts.username or ""),
        "EMAIL_HOST_PASSWORD": unquote(parts.password or ""),
        "EMAIL_USE_SSL": parts.scheme == "smtps",
        "EMAIL_USE_TLS": parts.scheme == "smtp+tls",
        "EMAIL_TIMEOUT": 20,
    }


def why_no_sender(text: str) -> str | None:
    """A rule for `Env.checked`: one sender, `Name <address>` or the address alone."""
    local, at, domain = parseaddr(text)[1].rpartition("@")
    if not (local and at and domain) or not text.isprintable():
        return "is not one sender; write it as GardenOS <crm@example.com>"
    return None
