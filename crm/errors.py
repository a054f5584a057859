"""Every way the domain says no. Doors turn these into a message, an API problem or a command's line."""

from typing import Any, ClassVar

from django.db import InterfaceError, OperationalError
from django.utils.translation import gettext_lazy as _
from psycopg.errors import ReadOnlySqlTransaction

RETRY_AFTER_S = 5  # a failover takes longer, but the first retry may already find the new primary


def is_outage(error: BaseException | None) -> bool:
    """Whether the database is away, or answers as a standby does: a failover. The same may succeed soon, on a
    new connection.
    """
    if isinstance(error, OperationalError | InterfaceError):
        return True
    return error is not None and isinstance(error.__cause__, ReadOnlySqlTransaction)


class CRMError(Exception):
    """The domain refuses. `code` is for programs, the text for people, `field` names what is wrong."""

    code: ClassVar[str] = "refused"
    status: ClassVar[int] = 409
    title: ClassVar[Any] = _("Refused")

    def __init__(self, message: Any = "", *, field: str = "", **details: Any) -> None:
        super().__init__(message)
        self.field = field
        self.details = details

    def __str__(self) -> str:
        return str(self.args[0]) if self.args and self.args[0] else str(self.title)


class InvalidValue(CRMError):
    """A value breaks a rule of the domain; `field` names it."""

    code, status, title = "invalid", 400, _("A value is not valid")


class TransitionRefused(CRMError):
    """The record cannot go from where it is to where it was sent."""

    code, title = "transition_refused", _("This change is not possible now")


class PermissionRefused(CRMError):
    """The record is visible, the verb is not allowed."""

    code, status, title = "permission_refused", 403, _("You are not allowed to do this")


class VersionConflict(CRMError):
    """Somebody saved first. `details["current"]` is the record as it is now."""

    code, status, title = "version_conflict", 412, _("Someone else changed this first")


class UndoRefused(CRMError):
    """Too late, done already, or rows moved on; the message names them."""

    code, title = "undo_refused", _("This can no longer be undone")


class ApprovalRefused(CRMError):
    """The follow-up cannot be approved or sent as it is."""

    code, title = "approval_refused", _("This message cannot be approved")


class ImportRefused(CRMError):
    """The file or the mapping cannot be imported; the message says what to change."""

    code, status, title = "import_refused", 400, _("This file cannot be imported")


class ExportRefused(CRMError):
    """More than may leave at once, or it can no longer be made; the message says what to do."""

    code, title = "export_refused", _("This export is not possible")


class AIUnavailable(CRMError):
    """AI is off, paused or out of budget."""

    code, title = "ai_unavailable", _("The agents are not available")


class OutOfBounds(CRMError):
    """A number lies outside its limits; the message gives them."""

    code, status, title = "out_of_bounds", 400, _("Outside the limits")


class RateLimited(CRMError):
    """Too often; `details["retry_after_s"]` says for how long."""

    code, status, title = "rate_limited", 429, _("Too often")


class LinkExpired(CRMError):
    """A mailed link is wrong, used or too old; all three are told alike."""

    code, status, title = "link_expired", 410, _("This link no longer works")
