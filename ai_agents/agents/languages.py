"""Which of the known languages a text is in, by its small words. No model, no table of n-grams: a draft is
checked for being in another language than asked, and that shows in every sentence.
"""

import re
from collections.abc import Collection

from django.conf import settings

from crm.models import Language, Lead

LEAST_WORDS = 3  # small words that a text must have before it counts as being in a language
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
# Frequent in one of the languages and rare or unknown in the others.
_SMALL_WORDS: dict[str, frozenset[str]] = {
    Language.ENGLISH: frozenset(
        "the and of to you your we our is are was have has would could will for with this that it at from be "
        "not my about please when which".split()
    ),
    Language.GERMAN: frozenset(
        "der die das und ist nicht wir sie ihr ihre ihren ihnen für mit von zu auf ein eine einen einem "
        "einer wäre können haben dem den im uns ich bitte wann oder".split()
    ),
    Language.FRENCH: frozenset(
        "le les des et est vous votre vos nous notre pour avec dans une du au aux ce cette qui que pas je "
        "sur quand merci pouvez souhaitez bonjour".split()
    ),
    Language.SPANISH: frozenset(
        "el los las y es usted su sus nosotros para con una sobre muy como hola".split()
    ),
    Language.ITALIAN: frozenset(
        "il gli di e è lei suo sua noi per con una del della che non più questo questa quando grazie può "
        "sono nel ciao buongiorno come vorrei ci".split()
    ),
    Language.DUTCH: frozenset(
        "het een en is niet wij we u uw voor met van naar op dat zijn hebben kunnen ons bij graag wanneer om "
        "ik aan ook maar bedankt zou".split()
    ),
}


def language_of(text: str) -> str:
    """A code of `Language`, or "" when the text is too short, in another language, or in two."""
    words = [word.casefold() for word in _WORD.findall(text[:4_000])]
    counts = sorted(
        ((sum(word in small for word in words), code) for code, small in _SMALL_WORDS.items()), reverse=True
    )
    (most, code), (next_most, _) = counts[0], counts[1]
    is_clear = most >= LEAST_WORDS and most >= 1.5 * next_most and most >= len(words) / 8
    return str(code) if is_clear else ""


def usual_languages(lead_ids: Collection[int]) -> dict[int, str]:
    """Lead id -> the language to write in to somebody who has written nothing: the contact's, else the
    owner's, else the installation's. One query.
    """
    rows = Lead.objects.filter(pk__in=lead_ids).values_list("pk", "contact__locale", "owner__locale")
    return {
        pk: _known(contact) or _known(owner) or _known(settings.LANGUAGE_CODE) for pk, contact, owner in rows
    }


def _known(locale: str | None) -> str:
    code = (locale or "").replace("_", "-").split("-")[0].lower()
    return code if code in Language.values else ""
