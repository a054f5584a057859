"""Try another prompt or model on past leads, and put it in use or take it back."""

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from ai_agents.actions.prompts import promote_prompt, prompt_in_use, roll_back_prompt, versions_of
from ai_agents.actions.replays import KIND, KNOWN_DAYS, start_replay, stop_replay, table
from ai_agents.agents import AGENTS
from ai_agents.models import AnswerState, Replay, ReplayState
from crm.errors import CRMError
from crm.models import Actor

SLICE_S = 20.0


class Command(BaseCommand):
    help = "Ask about past leads again with another prompt or model, compare, promote or roll back."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        run = verbs.add_parser("run", help="ask about past leads with what is in use and with a candidate")
        run.add_argument("--prompt", default="", help="a published version (default: the one in use)")
        run.add_argument("--model", default="", help="a model of the provider (default: the one in use)")
        run.add_argument("--leads", type=int, default=200, help="how many of the newest with an outcome")
        run.add_argument(
            "--known-days",
            type=int,
            default=KNOWN_DAYS,
            help="show what was known so long after the lead came",
        )
        run.add_argument(
            "--wait", action="store_true", help="do the work in this process, and show the result"
        )
        for verb, text in (("show", "the comparison"), ("stop", "ask nothing more, compare what there is")):
            verbs.add_parser(verb, help=text).add_argument("id", nargs="?", help="default: the newest")
        promote = verbs.add_parser("promote", help="use a version of a prompt from now on")
        promote.add_argument("prompt")
        back = verbs.add_parser("rollback", help="use again what was in use before")
        back.add_argument("kind", choices=sorted(AGENTS))
        for parser_ in (promote, back):
            parser_.add_argument("--because", default="", help="why, for those who look at it later")
        verbs.add_parser("prompts", help="which versions there are, and which are in use")

    def handle(self, *, verb: str, **options: Any) -> None:
        try:
            getattr(self, f"_{verb}")(Actor.system("manage.py replay_lab"), options)
        except CRMError as refused:
            raise CommandError(str(refused), returncode=2) from None

    def _run(self, by: Actor, options: dict[str, Any]) -> None:
        replay = start_replay(
            options["prompt"], by=by, model=options["model"], leads=options["leads"],
            known_days=options["known_days"],
        )  # fmt: skip
        self.stdout.write(f"replay {replay.public_id} asks about {replay.leads} leads, twice each")
        if options["wait"]:
            self._work(replay)
            self._print(replay)

    def _work(self, replay: Replay) -> None:
        from ai_agents.replaying import advance_replay  # loads the model client

        while advance_replay(replay.pk, seconds=SLICE_S):
            left = replay.answers.filter(state=AnswerState.WAITING).count()
            self.stdout.write(f"{2 * replay.leads - left} of {2 * replay.leads} asked")
        replay.refresh_from_db()
        if replay.state == ReplayState.RUNNING:
            self.stdout.write("The provider does not answer; the queue takes the replay up again.")

    def _show(self, by: Actor, options: dict[str, Any]) -> None:
        self._print(self._named(options["id"]))

    def _stop(self, by: Actor, options: dict[str, Any]) -> None:
        self._print(stop_replay(self._named(options["id"]).pk, by=by))

    def _promote(self, by: Actor, options: dict[str, Any]) -> None:
        row = promote_prompt(options["prompt"], by=by, because=options["because"])
        self.stdout.write(f"{row.kind} uses {row.prompt} from now on (before: {row.previous})")

    def _rollback(self, by: Actor, options: dict[str, Any]) -> None:
        row = roll_back_prompt(options["kind"], by=by, because=options["because"])
        self.stdout.write(f"{row.kind} uses {row.prompt} again (before: {row.previous})")

    def _prompts(self, by: Actor, options: dict[str, Any]) -> None:
        for kind in AGENTS:
            used = prompt_in_use(kind)
            self.stdout.write(
                f"{kind}: "
                + ", ".join(f"{one} (in use)" if one == used else one for one in versions_of(kind))
            )

    def _named(self, public_id: str | None) -> Replay:
        replays = Replay.objects.filter(kind=KIND)
        try:
            found = replays.filter(public_id=public_id).first() if public_id else replays.first()
        except (ValueError, ValidationError):
            found = None
        if found is None:
            raise CommandError("There is no such replay.", returncode=2)
        return found

    def _print(self, replay: Replay) -> None:
        replay.refresh_from_db()
        self.stdout.write(
            f"replay {replay.public_id}: {replay.state}{f', {replay.note}' if replay.note else ''}"
        )
        for line in table(replay):
            self.stdout.write(f"{line.name:<26}{line.present:>34}{line.candidate:>34}")
