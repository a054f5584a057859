"""Files of leads: the job, its rows, and the stage they are copied into."""

from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from crm.models.actors import Actor
from crm.models.base import VersionedRecord, choices_known
from crm.models.leads import Lead, LeadSource
from crm.models.users import Role, User


class ImportState(models.TextChoices):
    UPLOADED = "uploaded", _("Uploaded")
    MAPPED = "mapped", _("Columns matched")
    CHECKED = "checked", _("Checked")
    RUNNING = "running", _("Importing")
    DONE = "done", _("Done")
    UNDONE = "undone", _("Undone")


class ImportPolicy(models.TextChoices):
    CREATE = "create", _("Only create new leads")
    UPDATE = "update", _("Create new, update known")
    SKIP = "skip", _("Create new, skip known")


class ImportAssign(models.TextChoices):
    NONE = "none", _("Nobody: they wait in the pool")
    RULES = "rules", _("By the assignment rules")
    USER = "user", _("One person")


class ImportJobQuerySet(models.QuerySet["ImportJob"]):
    def visible_to(self, who: User | Actor) -> Self:
        """An admin sees all imports, everybody else their own."""
        user = who.user if isinstance(who, Actor) else who
        if user is None or user.role == Role.ADMIN:
            return self
        return self.filter(created_by=user)


class ImportJob(VersionedRecord):
    """One file on its way in. `rows_*` count verdicts; `created + updated + skipped + failed = total`."""

    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="imports"
    )
    source = models.ForeignKey(LeadSource, models.PROTECT, null=True, related_name="imports")
    file_name = models.CharField(max_length=255)
    stored_as = models.CharField(max_length=255, editable=False)
    size_bytes = models.BigIntegerField(default=0)
    file_sha256 = models.CharField(max_length=64, blank=True)
    encoding = models.CharField(max_length=40, blank=True)
    delimiter = models.CharField(max_length=1, blank=True)
    columns = models.JSONField(default=list, help_text="header, samples and guess of each column")
    mapping = models.JSONField(default=dict, help_text="column name -> field, custom:<key> or empty")
    options = models.JSONField(default=dict)
    policy = models.CharField(max_length=6, choices=ImportPolicy, default=ImportPolicy.UPDATE)
    assign = models.CharField(
        max_length=5, choices=ImportAssign, default=ImportAssign.NONE, db_default=ImportAssign.NONE
    )
    assign_to = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")
    analyse = models.CharField(max_length=12, default="none", help_text='"none", a number, or "all"')
    state = models.CharField(max_length=8, choices=ImportState, default=ImportState.UPLOADED)
    rows_total = models.PositiveIntegerField(default=0)
    rows_done = models.PositiveIntegerField(default=0)
    rows_created = models.PositiveIntegerField(default=0)
    rows_updated = models.PositiveIntegerField(default=0)
    rows_skipped = models.PositiveIntegerField(default=0)
    rows_failed = models.PositiveIntegerField(default=0)
    warnings = models.JSONField(default=list)
    error = models.CharField(max_length=300, blank=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    objects = ImportJobQuerySet.as_manager()

    class Meta:
        constraints = [
            choices_known("crm_importjob", "state", ImportState.values),
            choices_known("crm_importjob", "policy", ImportPolicy.values),
            models.CheckConstraint(
                name="crm_importjob_assign_whole",
                condition=Q(assign__in=[ImportAssign.NONE, ImportAssign.RULES], assign_to=None)
                | Q(assign=ImportAssign.USER, assign_to__isnull=False),
            ),
        ]
        indexes = [models.Index(F("created_by"), F("created_at").desc(), name="crm_importjob_mine")]

    def __str__(self) -> str:
        return self.file_name


class Verdict(models.TextChoices):
    CREATE = "create", _("Create")
    UPDATE = "update", _("Update")
    SKIP = "skip", _("Skip")
    ERROR = "error", _("Error")


class ImportRow(models.Model):
    """What became of one row of the file. `before` holds the values an update replaced."""

    job = models.ForeignKey(ImportJob, models.CASCADE, related_name="rows", db_index=False)
    row_no = models.PositiveIntegerField(help_text="row of data, the first after the header is 1")
    line_no = models.PositiveIntegerField(help_text="line of the file where the row begins")
    raw = models.JSONField(null=True, help_text="kept for rows that failed")
    verdict = models.CharField(max_length=6, choices=Verdict)
    field = models.CharField(max_length=120, blank=True, help_text="the column that is wrong")
    message = models.CharField(max_length=300, blank=True)
    lead = models.ForeignKey(Lead, models.SET_NULL, null=True, related_name="import_rows")
    before = models.JSONField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["job", "row_no"], name="crm_importrow_once"),
            choices_known("crm_importrow", "verdict", Verdict.values),
        ]

    def __str__(self) -> str:
        return f"{self.row_no}: {self.verdict}"


class ImportStage(models.Model):
    """UNLOGGED: where COPY puts a file's rows. Empty after a crash of the server; the file is then copied
    again. No foreign keys, so that copying stays cheap."""

    job_id = models.BigIntegerField()
    row_no = models.PositiveIntegerField()
    line_no = models.PositiveIntegerField()
    raw = models.JSONField(null=True, help_text="the cells as they stand in the file, of a row that failed")
    fields = models.JSONField(
        default=dict, help_text="normalised values by field, as receive_inquiry takes them"
    )
    custom = models.JSONField(default=dict)
    outcome = models.TextField(default="")
    email_key = models.TextField(default="")
    email_plain_key = models.TextField(default="", help_text="without the plus-tag")
    phone_key = models.TextField(default="")
    external_key = models.TextField(default="")
    domain_key = models.TextField(default="")
    name_company_key = models.TextField(default="")
    row_hash = models.TextField(default="", help_text="of all that the row says, after mapping")
    search_text = models.TextField(default="")
    verdict = models.TextField(default="")
    field = models.TextField(default="")
    message = models.TextField(default="")
    lead_id = models.BigIntegerField(null=True)
    is_alone = models.BooleanField(
        db_default=False, default=False, help_text="written by receive_row: records must be brought together"
    )

    class Meta:
        indexes = [
            # Row first: with the job first, a planner without statistics would look up keys by this one too.
            models.Index(fields=["row_no", "job_id"], name="crm_importstage_row"),
            # Which earlier row of the file has the same key? All addresses of a person share the plain one.
            *(
                models.Index(
                    fields=["job_id", key, "row_no"],
                    name=f"crm_importstage_{name}",
                    condition=~Q(**{key: ""}),
                )
                for name, key in (
                    ("external", "external_key"),
                    ("email", "email_plain_key"),
                    ("phone", "phone_key"),
                    ("hash", "row_hash"),
                )
            ),
        ]

    def __str__(self) -> str:
        return f"{self.job_id}:{self.row_no}"
