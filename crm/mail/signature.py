"""What stands under a mail. Part of the body from the draft on, so that what is approved is what is sent."""

from django.conf import settings


def closing(signature: str, name: str) -> str:
    """The sender's signature (their name if they wrote none) and the organisation's footer."""
    own = signature.replace("\r\n", "\n").strip() or name.strip()
    footer = settings.MAIL_FOOTER.replace("\r\n", "\n")
    return "\n\n".join(part for part in (own, footer) if part)


def with_closing(text: str, closing_text: str) -> str:
    """The text and its closing, one blank line between; a closing that is there already is not repeated."""
    bare = text.rstrip()
    if not closing_text or bare.endswith(closing_text):
        return bare
    return f"{bare}\n\n{closing_text}" if bare else closing_text
