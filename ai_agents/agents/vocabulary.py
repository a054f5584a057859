"""The words that the validators of drafts know, in the languages that customers write in."""

import re
from collections.abc import Iterable


def any_of(alternatives: Iterable[str]) -> re.Pattern[str]:
    """A pattern of whole words, whatever their case."""
    return re.compile(rf"(?<!\w)(?:{'|'.join(alternatives)})(?!\w)", re.IGNORECASE)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Words with a capital that anybody may write inside a sentence. All others have to stand in the facts.
ALWAYS_ALLOWED = _words(
    "i i'm i'll i'd i've ok hello hi dear thank thanks best kind regards sie ihr ihre ihnen ihren ihrem ihrer"
)
# "may", "march", "morgen", "mañana" and "marzo" are left out: too often they mean something else.
DATE_WORDS = _words("""
    monday tuesday wednesday thursday friday saturday sunday tomorrow tonight
    montag dienstag mittwoch donnerstag freitag samstag sonntag
    lundi mardi mercredi jeudi vendredi samedi dimanche demain
    lunes martes miércoles jueves viernes sábado domingo
    maandag dinsdag woensdag donderdag vrijdag zaterdag zondag
    lunedì martedì mercoledì giovedì venerdì sabato domenica domani
    january february april june july august september october november december
    januar februar märz juni juli oktober dezember
    janvier février avril juin juillet août octobre novembre décembre
    enero febrero abril junio julio agosto septiembre octubre noviembre diciembre
""")
PROMISE = any_of(
    [
        *(r"guarant\w+", r"warrant(?:y|ies|ed)", r"discount\w*", r"rebate\w*", r"refund\w*", "complimentary"),
        *("free of charge", "for free", "at no cost", r"half[ -]price", r"(?:best|lowest|special) price"),
        # "feel free to", "are you free", "free time", "frost-free" promise nothing
        r"(?<!feel )(?<!-)free (?:visit|quote|consultation|plan|design|sketch|delivery|offer|survey|advice)",
        r"(?:is|are|was|has been|have been) approved",
        *(
            r"garanti\w*",
            r"garantí\w*",
            r"rabatt\w*",
            r"kostenlos\w*",
            r"kostenfrei\w*",
            "gratis",
            "genehmigt",
        ),
        *("remise de", r"gratuit\w*", "réduction", r"descuent\w*", r"reembols\w*", "sconto", "korting"),
    ]
)
AGREEMENT = any_of(
    [
        *(
            r"as (?:we )?(?:agreed|discussed|promised|arranged|confirmed)",
            r"we (?:had |have )?(?:agreed|promised)",
        ),
        *("our agreement", r"wie (?:wir )?(?:vereinbart|besprochen|versprochen)", "comme convenu"),
        *(r"como (?:acordamos|acordado)", r"zoals (?:afgesproken|besproken)", "come concordato"),
    ]
)
# Orders are requests only where they lead: "let me know", but not "tell us" in "and you tell us what you
# like".
_ORDERS = (
    *("let (?:me|us) know", "reply", "write back", "call (?:me|us)", "give (?:me|us) a call", "get in touch"),
    *("ring (?:me|us)", "contact (?:me|us)", "send (?:me|us)", "tell (?:me|us)", "share", "book", "choose"),
    *("pick", "click", "confirm"),
)
_LEADS = r"(?:^|please |just |simply |kindly |and |or |, )"
ASKING = re.compile(
    rf"{_LEADS}(?:{'|'.join(_ORDERS)})(?!\w)"
    r"|(?<!\w)(?:melden|antworten|rufen|schreiben|teilen|geben) sie(?!\w)"
    r"|(?<!\w)(?:dites|répondez|appelez|écrivez|llámenos|llámeme|díganos|respóndanos)(?!\w)"
    r"|(?<!\w)laat (?:het )?(?:me|ons) weten(?!\w)",
    re.IGNORECASE,
)
# A customer has no business saying this to us; somebody who hopes for a machine does.
ORDERS_TO_A_MODEL = re.compile(
    r"(?:ignore|disregard|forget|ignora|olvida|ignorez|ignoriere|vergiss)\W{1,3}(?:\w+\W{1,3}){0,3}"
    r"(?:previous|prior|above|instructions?|instrucciones|anweisungen|vorherigen)"
    r"|system prompt|api key|lead_quality_score|conversion_probability|lead_data_?|\"role\""
    r"|(?:^|[>\n.] ?)system\s?:|"
    r"(?:set|change|give)\W{1,3}(?:\w+\W{1,3}){0,2}score|\bjailbreak|忽略|之前的指示",
    re.IGNORECASE,
)
GERMAN = re.compile(r"(?<!\w)(?:und|der|die|das|Sie|Ihr|Ihre|wir|für|nicht|mit|ist)(?!\w)")
SCRIPTS = {
    name: re.compile(f"[{letters}]")
    for name, letters in {
        "Latin": "a-zA-Z\u00c0-\u024f",
        "Greek": "\u0370-\u03ff",
        "Cyrillic": "\u0400-\u04ff",
        "Hebrew": "\u0590-\u05ff",
        "Arabic": "\u0600-\u06ff",
        "Devanagari": "\u0900-\u097f",
        "Thai": "\u0e00-\u0e7f",
        "Japanese": "\u3040-\u30ff",
        "Chinese": "\u4e00-\u9fff",
        "Korean": "\uac00-\ud7af",
    }.items()
}
