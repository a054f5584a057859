"""Whether a customer's mail says that they want no more mail: plain code, no model.

Two answers, because they have two consequences (crm.actions.unsubscribing). A *plain* request is a message
that says nothing else, as mail programs send for `List-Unsubscribe: <mailto:...?subject=unsubscribe>` (RFC
2369, 3.2) and people write in a hurry. Anything else that has one of the phrases only *mentions* it.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass

from crm.plaintext import Span, normalised

MOST_PLAIN = 12  # words of a plain request
MOST_READ = 150  # words: whoever writes more has more to say, which a person reads
# What was said before, below the answer; and a signature.
_HISTORY = re.compile(
    r"^(?:on .{4,120} wrote ?:|am .{4,120} schrieb.{0,80}:|le .{4,120} a écrit ?:|el .{4,120} escribió ?:"
    r"|il .{4,120} ha scritto ?:|op .{4,120} schreef.{0,80}:|(?:from|von|de|da|van) ?: .{0,80}@.{0,80}"
    r"|-{2,} ?[^\n]{0,40}(?:message|nachricht|mensaje|messaggio|bericht)[^\n]{0,10}-{2,}|_{10,}|--)$",
    re.IGNORECASE | re.MULTILINE,
)
_QUOTED = re.compile(r"^>.*$", re.MULTILINE)
_WORD = re.compile(r"[^\W\d_]+(?:['’\-][^\W\d_]+)*")
_ANSWER = re.compile(r"^\s*(?:re|aw|antw|sv|vs|ref|rif|tr|fwd?|wg) ?:", re.IGNORECASE)
_COMMANDS = frozenset("""
    unsubscribe stop opt-out
    abmelden abbestellen austragen
    désabonner désabonnement désinscrire désinscription
    baja desuscribir
    disiscrivimi disiscriversi disiscrivetemi cancellami
    afmelden uitschrijven
""".split())  # fmt: skip
_POLITE = frozenset("""
    please kindly hi hello hey dear sir madam thanks thank you best kind regards me us my our email e-mail
    address from the this your list mailing newsletter now immediately and all i want to would like
    bitte danke vielen dank hallo guten tag mich uns von aus dem der ihrem ihrer liste verteiler sofort
    viele freundliche mit freundlichen grüße grüßen ich möchte
    merci bonjour svp me votre liste cordialement je veux
    gracias hola por favor saludos quiero darme darse de dar la su lista
    grazie salve buongiorno saluti cordiali vorrei
    alstublieft bedankt groet groeten mij ons uit uw lijst graag
""".split())  # fmt: skip
_MAILS = (
    r"(?:e-?mails?|mails?|messages?|newsletters?|letters?|nachrichten|werbung|courriels?|correos?|mensajes?)"
)
# Where "not" before it turns it round.
_IMPERATIVES = (
    r"unsubscribe (?:me|us|this address|my (?:e-?mail|address))",
    r"(?:take|remove|delete) (?:me|us|my (?:e-?mail|name|address)(?: address)?) (?:off|from)\b",
    r"(?:stop|quit) (?:writing|e-?mailing|mailing|contacting|sending|messaging)(?: to)? (?:me|us)\b",
    r"opt (?:me|us) out",
    r"(?:nehmen|streichen|löschen|entfernen|tragen) sie (?:mich|uns|meine (?:e-?mail-?)?adresse) (?:bitte )?"
    r"(?:aus|von)",
    r"melden sie (?:mich|uns) (?:bitte )?ab\b",
    r"(?:me|nous) désabonner|désabonnez[- ](?:moi|nous)|désinscrivez[- ](?:moi|nous)|retirez[- ](?:moi|nous)",
    r"d(?:arme|enme|eme) de baja|elim[ií]nen?me de|quítenme de",
    r"cancellatemi|disiscrivetemi|rimuovetemi",
    r"(?:schrijf|meld) (?:mij|me|ons) (?:alstublieft )?(?:uit|af)\b|haal (?:mij|me|ons) van",
)
_REFUSALS = (
    rf"no more {_MAILS}",
    r"(?:do not|don['’]t|never) (?:write|e-?mail|mail|contact|message) (?:to )?(?:me|us)\b",
    r"(?:do not|don['’]t) (?:want|wish) (?:to (?:get|receive) )?(?:any ?more |any |more |your |these ){0,3}"
    rf"{_MAILS}",
    rf"keine (?:weiteren |mehr )?(?:e-?)?{_MAILS}(?: mehr)?",
    r"(?:schreiben|mailen|kontaktieren) sie (?:mir|uns|mich) (?:bitte )?(?:nicht|nie|nichts) mehr",
    r"(?:ne plus|plus) (?:recevoir|me contacter|m['’]écrire)|ne m['’]écrivez plus",
    r"plus de (?:mails|courriels)",
    r"no (?:deseo|quiero) recibir|no me (?:escriba|escriban|contacten?) más",
    r"non (?:voglio|desidero) (?:più )?ricevere|non (?:scrivetemi|contattatemi) più",
    r"geen (?:e-?mails?|mails?|berichten) meer|stop(?:t)? met (?:mailen|schrijven)",
)
_NEGATED = re.compile(r"\b(?:not|don['’]t|never|nicht|pas|no|non|niet)\W{1,3}(?:\w+\W{1,3})?$", re.IGNORECASE)


def _any(patterns: Collection[str]) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w)(?:{'|'.join(patterns)})", re.IGNORECASE)


_IMPERATIVE, _REFUSAL = _any(_IMPERATIVES), _any(_REFUSALS)


@dataclass(frozen=True, slots=True)
class Unsubscribing:
    """A request, and where the message says it: a place in the normalised text, or None when only the
    subject does.
    """

    is_plain: bool
    place: Span | None


def unsubscribing_in(subject: str, text: str, *, names: Collection[str] = ()) -> Unsubscribing | None:
    """The request in a mail, if it has one. `names` are the sender's own: they sign with them."""
    own = _own_words(normalised(text))
    known = {name.casefold() for name in names} | _POLITE
    is_subject = not _ANSWER.match(subject) and _is_command(subject, known)
    words = _WORD.findall(own)
    if _is_command(own, known) or (is_subject and not words):
        return Unsubscribing(True, _line(own))
    if len(words) > MOST_READ:
        return None
    found = _phrase(own)
    if found:
        return Unsubscribing(False, found)
    return Unsubscribing(False, _line(own)) if is_subject else None


def _is_command(text: str, known: Collection[str]) -> bool:
    """Whether the text is a command to stop, with nothing around it but politeness and a name."""
    words = [word.casefold() for word in _WORD.findall(text)]
    rest = [word for word in words if word not in known]
    return 0 < len(rest) <= len(words) <= MOST_PLAIN and all(word in _COMMANDS for word in rest)


def _phrase(own: str) -> Span | None:
    for found in _IMPERATIVE.finditer(own):
        if not _NEGATED.search(own[max(0, found.start() - 30) : found.start()]):
            return Span(*found.span())
    refusal = _REFUSAL.search(own)
    return Span(*refusal.span()) if refusal else None


def _own_words(text: str) -> str:
    """Without what was said before. Places stay as they are."""
    history = _HISTORY.search(text)
    own = text[: history.start()] if history else text
    return _QUOTED.sub(lambda line: " " * len(line[0]), own)


def _line(own: str) -> Span | None:
    """The first line that says anything."""
    found = re.search(r"[^\s].*", own)
    return Span(found.start(), min(len(found[0].rstrip()), 300) + found.start()) if found else None
