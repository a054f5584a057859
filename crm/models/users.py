"""People who sign in, and their teams."""

from typing import Any, Self

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager
from django.db import models
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _

from crm.models.base import Record, VersionedRecord, choices_known
from crm.models.working_hours import validate_working_hours


class Role(models.TextChoices):
    ADMIN = "admin", _("Admin")
    MANAGER = "manager", _("Manager")
    REP = "rep", _("Sales rep")
    READ_ONLY = "read_only", _("Read only")


class Theme(models.TextChoices):
    SYSTEM = "system", _("As the system")
    LIGHT = "light", _("Light")
    DARK = "dark", _("Dark")


class UserManager(BaseUserManager["User"]):
    """Looks people up by e-mail, whatever its case."""

    def get_by_natural_key(self, email: str | None) -> "User":
        return self.annotate(lower_email=Lower("email")).get(lower_email=(email or "").lower())

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """A new user. Raises ValueError without an e-mail address."""
        if not email:
            raise ValueError("A user needs an e-mail address.")
        user = self.model(email=email.strip().lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        return self.create_user(email, password, role=Role.ADMIN, is_superuser=True, **fields)

    def active(self) -> models.QuerySet["User"]:
        return self.filter(is_active=True)


class User(AbstractBaseUser, VersionedRecord):
    """Someone who signs in with an e-mail address. Deactivated, never deleted; the role decides all rights.

    `is_superuser` is set by commands alone and opens nothing in the domain.
    """

    email = models.EmailField(_("e-mail"), max_length=254)
    name = models.CharField(_("name"), max_length=120)
    role = models.CharField(_("role"), max_length=12, choices=Role, default=Role.REP)
    is_active = models.BooleanField(_("active"), default=True)
    is_superuser = models.BooleanField(default=False, editable=False)
    time_zone = models.CharField(_("time zone"), max_length=64, default="UTC")
    locale = models.CharField(_("language"), max_length=10, default="en")
    theme = models.CharField(_("theme"), max_length=8, choices=Theme, default=Theme.SYSTEM)
    has_shortcuts = models.BooleanField(_("single-letter shortcuts"), default=True)
    signature = models.TextField(_("mail signature"), blank=True, max_length=1000)
    working_hours = models.JSONField(default=dict, blank=True, help_text='{"mon": ["09:00", "17:00"], ...}')
    capacity = models.PositiveIntegerField(default=50, help_text="open leads this person can work at a time")
    is_accepting = models.BooleanField(_("accepts new leads"), default=True)

    objects = UserManager()
    USERNAME_FIELD = "email"
    REQUIRED_FIELDS = ["name"]

    class Meta:
        constraints = [
            models.UniqueConstraint(Lower("email"), name="crm_user_email_unique"),
            choices_known("crm_user", "role", Role.values),
            choices_known("crm_user", "theme", Theme.values),
        ]

    def __str__(self) -> str:
        return self.name or self.email

    def clean(self) -> None:
        super().clean()
        validate_working_hours(self.working_hours)

    def get_full_name(self) -> str:
        return self.name

    def get_short_name(self) -> str:
        return self.name.split(" ")[0] if self.name else self.email

    @property
    def initials(self) -> str:
        """One or two capitals for the avatar."""
        words = (self.name or self.email).replace("@", " ").split()
        return "".join(word[0] for word in (words[:1] + words[1:][-1:])).upper()

    @property
    def is_staff(self) -> bool:
        """May open the admin door; what it shows is decided by crm.permissions."""
        return self.is_active and self.role in {Role.ADMIN, Role.MANAGER}

    def has_perm(self, perm: str, obj: object | None = None) -> bool:
        """Django's permissions decide nothing here: the admin site asks crm.permissions."""
        return self.is_active and self.role == Role.ADMIN

    def has_perms(self, perm_list: Any, obj: object | None = None) -> bool:
        return all(self.has_perm(perm, obj) for perm in perm_list)

    def has_module_perms(self, app_label: str) -> bool:
        return self.is_staff


class TeamQuerySet(models.QuerySet["Team"]):
    def of(self, user: User) -> Self:
        return self.filter(members__user=user)


class Team(VersionedRecord):
    """A group that shares a pool of leads."""

    name = models.CharField(max_length=120, unique=True)
    parent = models.ForeignKey("self", models.PROTECT, null=True, blank=True, related_name="children")
    hides_addresses = models.BooleanField(
        _("hides addresses from readers"),
        default=False,
        db_default=False,
        help_text=_("read-only members see neither phone numbers nor e-mail addresses, nor find by them"),
    )
    objects = TeamQuerySet.as_manager()

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class TeamRole(models.TextChoices):
    LEAD = "lead", _("Team lead")
    MEMBER = "member", _("Member")


class TeamMember(Record):
    """Who is in which team."""

    team = models.ForeignKey(Team, models.PROTECT, related_name="members")
    user = models.ForeignKey(User, models.PROTECT, related_name="memberships")
    role = models.CharField(max_length=8, choices=TeamRole, default=TeamRole.MEMBER)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["team", "user"], name="crm_teammember_once"),
            choices_known("crm_teammember", "role", TeamRole.values),
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.team}"
