"""Their notes and activities, told at the time they are of."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from crm.actions.notes import checked_body, write_note
from crm.actions.work import complete_task, create_task
from crm.errors import InvalidValue
from crm.imports.legacy.cards import about_of
from crm.imports.legacy.leads import Leads
from crm.imports.legacy.mapping import Part
from crm.imports.legacy.times import as_of, coming, date_back, ended
from crm.imports.legacy.work import Report, Work, text
from crm.models import Lead, Note, Opportunity, Task, TaskKind, TaskOrigin, User


class Stories:
    def __init__(self, work: Work, leads: Leads) -> None:
        self.work = work
        self.leads = leads

    def bring_note(self, part: Part, row: dict[str, Any], report: Report) -> bool:
        """Whether it is new: known by its words and its time. Raises CRMError."""
        body, at = checked_body(text(row["body"], lines=True)), self.work.moment(row, "at")
        author = self.work.user(row.get("author"), report)
        about = _first(about_of(self.work, self.leads, part, row))
        if about is None:
            return True  # a dry run would make what it is about
        notes = Note.objects.filter(**{str(about._meta.model_name): about})
        if notes.filter(body=body, **({"created_at": at} if at else {})).exists():
            return False
        # as runs before wrote them, whose notes did not bear their times
        if at and notes.filter(body=f"[{at.astimezone(self.work.mapping.zone):%Y-%m-%d}] {body}").exists():
            return False
        with transaction.atomic():
            with _nothing_new(about, at), as_of(at):
                note = write_note(about, by=self.work.by, body=body)
            if author:
                Note.objects.filter(pk=note.pk).update(author=author)
            date_back(note, created=at, changed=at)
            transaction.set_rollback(self.work.is_dry)
        return True

    def bring_activity(self, part: Part, row: dict[str, Any], report: Report) -> bool:
        """Whether it is new: known by its title and its times. What is done is a task that was done then.
        Raises CRMError.
        """
        zone = self.work.mapping.zone
        title, kind = text(row["title"])[:200], self.work.word(part, row, "kind", report) or TaskKind.TODO
        created, done = self.work.moment(row, "created_at"), self.work.moment(row, "done_at")
        due = coming(row.get("due_at"), zone=zone, field="due_at")
        done = ended(done, created, zone=zone, field="done_at")
        owner = self.work.user(row.get("owner"), report)
        about = _first(about_of(self.work, self.leads, part, row))
        if about is None:  # a dry run would make what it is about
            report.became["done" if done else "open"] += 1
            return True
        noun = str(about._meta.model_name)
        same = Task.objects.filter(**{noun: about}, title=title, kind=kind, due_at=due, done_at=done)
        if same.filter(**({"created_at": created} if created else {})).exists():
            return False
        assignee = owner or _at_work(about.owner)
        if assignee is None:
            raise InvalidValue(_("Nobody here has it: neither it nor what it is about."), field="owner")
        begun = min(filter(None, (created, done)), default=None)
        with transaction.atomic():
            with as_of(begun):
                task = create_task(
                    by=self.work.by,
                    title=title,
                    about=about,
                    assignee=assignee,
                    origin=TaskOrigin.HUMAN,
                    kind=kind,
                    due_at=due,
                    notes=text(row.get("body"), lines=True),
                )
            if done:
                with as_of(done):
                    complete_task(task.pk, by=self.work.by, outcome=text(row.get("outcome"))[:300])
                Task.objects.filter(pk=task.pk).update(done_by=owner)
            date_back(task, created=begun, changed=done or begun)
            transaction.set_rollback(self.work.is_dry)
        report.became["done" if done else "open"] += 1
        return True


@contextmanager
def _nothing_new(about: Any, at: datetime | None) -> Iterator[None]:
    """A lead's open opportunities have heard of it by what was told of then, not by what is told now."""
    if at is None or not isinstance(about, Lead):
        yield
        return
    heard = dict(Opportunity.objects.open().filter(lead=about).values_list("pk", "last_event_at"))
    yield
    for pk, last in heard.items():
        Opportunity.objects.filter(pk=pk).update(last_event_at=max(last, at))


def _first(about: dict[str, Any]) -> Any:
    return next((record for record in about.values() if record), None)


def _at_work(user: User | None) -> User | None:
    return user if user and user.is_active else None
