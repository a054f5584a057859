"""The language of a text is told by its small words, or not at all."""

import pytest

from ai_agents.agents.facts import LeadFacts
from ai_agents.agents.follow_up import in_their_language
from ai_agents.agents.languages import language_of
from ai_agents.llm.scripted_answers import ABROAD
from crm import clock
from tests.factories import make_lead, make_user


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("We would like to have a pond in our garden and would be glad of your advice.", "en"),
        ("Wir hätten gern einen Teich für den Garten und wissen nicht, was das kosten würde.", "de"),
        ("Nous souhaitons une terrasse avec un petit jardin pour notre maison.", "fr"),
        ("Nos gustaría una terraza para el jardín, gracias por su ayuda.", "es"),
        ("Vorrei una terrazza per il giardino, quando può venire? Grazie.", "it"),
        ("Wij willen graag een vijver voor onze tuin, wanneer kunnen we bij u langs komen?", "nl"),
        ("A pond.", ""),
        ("Chcielibyśmy staw w naszym ogrodzie, proszę o wycenę.", ""),
        ("我们想要一个池塘。", ""),
        ("", ""),
    ],
)
def test_a_text_is_in_one_of_the_known_languages_or_in_none(text: str, language: str):
    assert language_of(text) == language


@pytest.mark.parametrize("language", list(ABROAD))
def test_the_scripted_model_writes_the_language_that_it_is_asked_for(language: str):
    _subject, _greeting, opening, question = ABROAD[language]
    assert language_of(f"{opening} {question}") == language


def language_for(lead) -> str:
    [facts] = in_their_language([LeadFacts.of(lead, today=clock.now(), purpose="other")])
    assert facts is not None
    return facts.asked.get("language", "")


@pytest.mark.django_db
def test_a_draft_is_in_the_language_of_the_customers_last_message():
    lead = make_lead(
        message="Wir hätten gern einen Teich für den Garten und wissen nicht, was das kosten würde."
    )
    assert language_for(lead) == "de"


@pytest.mark.django_db
def test_a_language_that_cannot_be_told_is_left_to_the_model():
    assert language_for(make_lead(message="Chcielibyśmy staw w ogrodzie.")) == ""


@pytest.mark.django_db
def test_who_wrote_nothing_is_written_to_in_the_owners_language(settings):
    assert language_for(make_lead(owner=make_user(locale="fr-CA"))) == "fr"
    settings.LANGUAGE_CODE = "nl"
    assert language_for(make_lead(owner=make_user(locale="xx"))) == "nl"


@pytest.mark.django_db
def test_the_languages_of_many_leads_take_one_query(django_assert_num_queries):
    found = [LeadFacts.of(make_lead(), today=clock.now(), purpose="other") for _ in range(3)]
    with django_assert_num_queries(1):
        in_their_language(found)
