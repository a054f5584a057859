"""Sample leads as stories: who asked for what, when, and what happened since. No database here.

The same seed and the same moment give the same stories.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from itertools import count
from random import Random

from gardenos.demo import content
from gardenos.demo.content import Country, Project

SPAN = timedelta(days=60)
_PLAIN = str.maketrans("áàâéèêëíïóôöúûüçñÁÉÍÓÚ", "aaaeeeeiiooouuucnAEIOU")


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened: inquiry, assigned, sent, received, note, planned, snoozed, converted
    or disqualified."""

    at: datetime
    kind: str
    text: str = ""
    subject: str = ""


@dataclass(slots=True)
class Story:
    """One lead. `hand` 0 is nobody (the team's pool), 1, 2 ... one of the owners in turn."""

    number: int
    first: str
    last: str
    company: str
    title: str
    country: str
    email: str
    phone: str
    interest: str
    value: int | None
    source: str
    hand: int
    is_poor: bool
    status: str = "new"
    next_action: tuple[datetime, str] | None = None
    steps: list[Step] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{self.first} {self.last}"


def stories(n: int, *, at: datetime, seed: int = 7) -> Iterator[Story]:
    """`n` leads whose first inquiries lie within the 60 days before `at` (aware), the newest an hour ago."""
    return _Teller(at.replace(microsecond=0), seed).tell(n)


class _Teller:
    """Knows the moment, the dice, and which projects and telephone numbers are used up."""

    def __init__(self, at: datetime, seed: int) -> None:
        self.at = at
        self.random = Random(seed)  # noqa: S311 for variety, not for secrets
        self.projects = self.random.sample(content.PROJECTS, len(content.PROJECTS))
        self.phones = {country.code: count() for country in content.COUNTRIES}

    def tell(self, n: int) -> Iterator[Story]:
        for number in range(1, n + 1):
            age = SPAN * ((number - 1) / n) ** 1.5  # more of late than long ago
            arrived = self.customers_hour((self.at - timedelta(hours=1) - age).replace(microsecond=0))
            story, message = self.asked(number, arrived)
            story.steps.append(Step(arrived, "inquiry", message))
            self.went_on(story)
            yield story

    # --- who and what ---
    def asked(self, number: int, arrived: datetime) -> tuple[Story, str]:
        """The lead, and its message."""
        random = self.random
        country = random.choices(content.COUNTRIES, weights=(46, 10, 18, 10, 8, 8))[0]
        project = self.projects[number % len(self.projects)]
        is_poor = random.random() < 0.12
        place, first, last = (random.choice(names) for names in (country.places, country.first, country.last))
        wanting = project.organisations or (content.BUSINESSES if random.random() < 0.15 else ())
        company = random.choice(wanting).format(last=last, place=place) if wanting and not is_poor else ""
        interest, message, value = self.wish(project, country, place, is_poor=is_poor)
        is_fresh = self.at - arrived < timedelta(days=1)
        story = Story(
            number=number,
            first=first,
            last=last,
            company=company,
            title=random.choice(content.TITLES) if company else "",
            country=country.code,
            email=_address(first, last, company, number),
            phone=self.phone(country),
            interest=interest,
            value=value if random.random() < 0.4 else None,
            source=random.choices(("demo-website", "demo-phone", "demo-mail", "demo-fair"), (60, 14, 18, 8))[
                0
            ],
            hand=0 if is_fresh and random.random() < 0.6 else random.randint(1, 5),
            is_poor=is_poor,
        )
        return story, message

    def wish(
        self, project: Project, country: Country, place: str, *, is_poor: bool
    ) -> tuple[str, str, int | None]:
        """(interest, message, value in euros)."""
        random = self.random
        if is_poor:
            return *random.choice(content.POOR), None
        value = random.randrange(*project.value, 500)
        texts = project.asks if random.random() < 0.35 else content.BRIEF
        own_language = {"DE": content.GERMAN, "FR": content.FRENCH}.get(country.code)
        if own_language and not project.organisations and random.random() < 0.5:
            texts = own_language
        message = self.filled(random.choice(texts), place=place, value=value, topic=project.interest.lower())
        return project.interest, message, value

    def filled(self, text: str, *, place: str = "", value: int = 0, topic: str = "") -> str:
        random = self.random
        return text.format(
            place=place,
            topic=topic,
            size=random.randrange(30, 900, 10),
            budget=f"{value:,}",
            when=random.choice(content.WHEN),
            when_de=random.choice(content.WHEN_DE),
        )

    def phone(self, country: Country) -> str:
        """The next number of the country's fictional ranges, for three in four people."""
        if not country.phones or self.random.random() < 0.25:
            return ""
        index = next(self.phones[country.code])
        pattern = country.phones[index % len(country.phones)]
        room = pattern.count("#")
        digits = iter(f"{(index // len(country.phones) * 37 + 111) % 10**room:0{room}d}")
        return "".join(next(digits) if char == "#" else char for char in pattern)

    # --- and then ---
    def went_on(self, story: Story) -> None:
        """What happened after the inquiry, up to now."""
        random = self.random
        if not story.hand or not self.then(story, "assigned", 2):
            story.hand = 0
            return
        if story.is_poor and self.then(story, "disqualified", 20, random.choice(content.LOST)):
            story.status = "disqualified"
            return
        if not self.write(story, content.SENT, 5):
            return
        story.status = "working"
        if random.random() < 0.55:
            self.reply(story, 26)
        if random.random() < 0.6:
            self.then(story, "note", 22, random.choice(content.NOTES))
        if story.steps[-1].kind != "received" and random.random() < 0.5:
            self.write(story, content.SENT_AGAIN, 120)
        if random.random() < 0.3:
            self.reply(story, 40)
        self.plan(story)

    def then(self, story: Story, kind: str, hours: float, text: str = "", subject: str = "") -> bool:
        """One step more, some `hours` later at an hour at which people work or write; False if not yet."""
        last = story.steps[-1].at
        minutes = int(hours * 60 * self.random.uniform(0.6, 1.4)) + self.random.randint(1, 55)
        moment = last + timedelta(minutes=minutes)
        moment = self.customers_hour(moment) if kind == "received" else office_hour(moment)
        if not last < moment < self.at - timedelta(minutes=5):
            return False
        story.steps.append(Step(moment, kind, text, subject))
        return True

    def write(self, story: Story, letters: tuple[tuple[str, str], ...], hours: float) -> bool:
        subject, text = self.random.choice(letters)
        topic = story.interest.lower() or "garden"
        return self.then(
            story, "sent", hours, text.format(first=story.first, topic=topic), subject.format(topic=topic)
        )

    def reply(self, story: Story, hours: float) -> bool:
        subject = next(step.subject for step in reversed(story.steps) if step.kind == "sent")
        text = self.filled(self.random.choice(content.REPLIES))
        return self.then(story, "received", hours, text, f"Re: {subject}")

    def plan(self, story: Story) -> None:
        """Asleep, overdue, due today, or later."""
        random = self.random
        fate = random.random()
        is_quiet = self.at - story.steps[-1].at > timedelta(days=10)
        is_ripe = is_quiet and story.number % 2 and story.steps[-1].kind != "received"
        if is_ripe and self.then(story, "converted", 30):
            story.status = "converted"
            return
        if fate < 0.15 and is_quiet and self.then(story, "snoozed", 24, content.SNOOZED):
            story.status = "nurturing"
            story.next_action = (office_hour(self.at + timedelta(days=random.randint(5, 40))), "call")
            return
        if fate < 0.3:
            due = office_hour(self.at - timedelta(days=random.randint(1, 5), hours=random.randint(1, 6)))
        elif fate < 0.5:
            due = self.at.replace(minute=0, second=0) + timedelta(hours=random.randint(-3, 4))
            due = min(max(due, self.at.replace(hour=0)), self.at.replace(hour=23, minute=30))
        else:
            due = office_hour(self.at + timedelta(days=random.randint(1, 14)))
        kind = random.choices(("call", "email", "meeting", "todo"), weights=(45, 30, 15, 10))[0]
        planned = min(story.steps[-1].at + timedelta(minutes=25), self.at - timedelta(minutes=2))
        story.steps.append(Step(planned, "planned"))
        story.next_action = (max(due, planned + timedelta(minutes=30)), kind)

    def customers_hour(self, moment: datetime) -> datetime:
        """Nobody fills in a form at four in the morning: between 7:00 and 22:59, and before now."""
        if moment.hour < 7:
            moment = (moment - timedelta(days=1)).replace(hour=self.random.randint(18, 22))
        return min(moment, self.at - timedelta(minutes=20))


def office_hour(moment: datetime) -> datetime:
    """The moment, moved on into Monday to Friday, 8:30 to 17:30."""
    if moment.time() > time(17, 30):
        moment = (moment + timedelta(days=1)).replace(hour=8, minute=30 + moment.minute % 30)
    elif moment.time() < time(8, 30):
        moment = moment.replace(hour=9)
    while moment.weekday() >= 5:
        moment += timedelta(days=1)
    return moment


def _address(first: str, last: str, company: str, number: int) -> str:
    """An address that belongs to nobody; the number keeps namesakes apart. Private people have a domain of
    their own, too: one that they shared would make them look like one company's.
    """
    plain = f"{first}.{last}".translate(_PLAIN).lower().encode("ascii", "ignore").decode()
    words = "".join(char for char in company.lower() if char.isascii() and char.isalnum())
    return f"{plain}@{words or 'post'}{number}.example"
