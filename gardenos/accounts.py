"""How people get an account."""

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils.translation import gettext_lazy

from crm.actions.audit import audit
from crm.keyed_hash import keyed_hash
from crm.models import Actor, User


class InvitedOnlyAdapter(DefaultAccountAdapter):
    """Nobody signs up by themselves: admins make the accounts."""

    error_messages = DefaultAccountAdapter.error_messages | {
        "email_password_mismatch": gettext_lazy(
            "E-mail address or password is wrong. Try again, or set a new password."
        ),
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def is_safe_url(self, url: str) -> bool:
        """As allauth, which stumbles over an address that cannot be read ("//[")."""
        try:
            return super().is_safe_url(url)
        except ValueError:
            return False


@receiver(user_logged_in)
def _audit_sign_in(user: User, **kwargs: Any) -> None:
    audit("user.signed_in", "signed in", by=Actor.of(user), target=user)


@receiver(user_logged_out)
def _audit_sign_out(user: User | None, **kwargs: Any) -> None:
    if user is not None:
        audit("user.signed_out", "signed out", by=Actor.of(user), target=user)


@receiver(user_login_failed)
def _audit_refusal(credentials: dict[str, Any], **kwargs: Any) -> None:
    """A known address by its account, an unknown one by its keyed hash alone."""
    address = str(credentials.get("email") or credentials.get("username") or "").strip().lower()
    user = User.objects.filter(email__iexact=address).first()
    data = {} if user else {"address": keyed_hash("sign-in", address)}
    audit("user.sign_in_failed", "could not sign in", by=Actor.customer("web"), target=user, **data)
