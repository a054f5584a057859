"""What people in the samples are called, want, write and answer."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Country:
    """Names, towns and fictional telephone numbers of a country. `phones` are patterns: # is a digit."""

    code: str
    first: tuple[str, ...]
    last: tuple[str, ...]
    places: tuple[str, ...]
    phones: tuple[str, ...]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


COUNTRIES = (
    Country(
        "GB",
        _words(
            "Amelia Oliver Priya George Isla Harry Ruby Noah Freya Arthur Nadia Callum Imogen Rhys Tessa Owen"
        ),
        _words(
            "Hughes Patel Whitfield Marsh Doyle Ashworth Khan Bennett Fairley Crowe Lennox Pryce Holt Sayer"
        ),
        _words("Bath York Bristol Norwich Exeter Leeds Oxford Stirling Cardiff Ludlow"),
        # Ofcom, "Telephone numbers for use in TV and radio drama programmes"
        ("+44 20 7946 0###", "+44 117 496 0###", "+44 131 496 0###", "+44 161 496 0###"),
    ),
    Country(
        "IE",
        _words("Aoife Conor Saoirse Cian Niamh Declan Orla Fionn"),
        _words("Brennan Kearney Nolan Tierney Gallagher Quinlan Moran Hickey"),
        _words("Cork Galway Kilkenny Sligo Wexford"),
        ("+353 20 91# ####",),  # ComReg, numbers for drama use
    ),
    Country(
        "DE",
        _words("Katrin Jonas Lena Matthias Anke Felix Greta Holger Miriam Stefan Ulrike Bastian"),
        _words("Brandt Hoffmann Seidel Kruse Lorenz Winkler Albers Petersen Vogt Reuter Thoma Engel"),
        _words("Hamburg Leipzig Freiburg Potsdam Münster Bamberg Kiel"),
        # Bundesnetzagentur, "Rufnummern für Film und Fernsehen"
        ("+49 30 23125 ###", "+49 40 66969 ###", "+49 69 90009 ###", "+49 89 99998 ###"),
    ),
    Country(
        "FR",
        _words("Camille Julien Élodie Mathieu Sylvie Antoine Margaux Benoît"),
        _words("Lefèvre Moreau Garnier Chevalier Blanchard Roussel Perrin Fabre"),
        _words("Lyon Nantes Annecy Bordeaux Tours"),
        ("+33 1 99 00 ## ##", "+33 3 53 01 ## ##", "+33 4 65 71 ## ##"),  # ARCEP, numbers for fiction
    ),
    Country(
        "NL",
        _words("Sanne Daan Femke Joris Lotte Ruben Marieke Thijs"),
        _words("Visser Mulder Dekker Hoekstra Postma Bakker Kuiper Smit"),
        _words("Utrecht Haarlem Zwolle Delft Breda"),
        (),
    ),
    Country(
        "ES",
        _words("Lucía Álvaro Carmen Íñigo Marta Rafael Nuria Javier"),
        _words("Navarro Iglesias Ferrer Molina Cano Vidal Prieto Soler"),
        _words("Girona Valencia Bilbao Palma Granada"),
        (),
    ),
)
BUSINESSES = ("{last} Architects", "{last} & Sons", "{place} Clinic", "{last} Property", "Studio {last}")
HOTELS = ("Hotel {place}", "{last} Hospitality", "Café {last}", "The {last} Inn")
SCHOOLS = ("{place} Primary School", "{place} Kindergarten", "{place} Grammar School")
ESTATES = (
    "{place} Housing Trust",
    "{last} Property",
    "{place} Cricket Club",
    "{place} Clinic",
    "{last} Estates",
)
TITLES = (
    "Facility manager",
    "Owner",
    "Head of estates",
    "Office manager",
    "Project lead",
    "Head teacher",
    "Director",
)


@dataclass(frozen=True, slots=True)
class Project:
    """What somebody wants. Texts use {place} {size} {budget} {when}; `value` are the least and most, in "
    "euros."""

    interest: str
    asks: tuple[str, ...]
    value: tuple[int, int]
    organisations: tuple[str, ...] = ()  # who wants this; empty: anybody, mostly private people


WHEN = (
    "before summer",
    "this spring",
    "in early autumn",
    "next month",
    "as soon as possible",
    "before the next season",
)
PROJECTS = (
    Project(
        "Garden redesign",
        (
            "We moved to {place} last year and the garden behind the house is about {size} m², mostly tired "
            "lawn and a "
            "concrete path. We would like a redesign with a seating area, more planting and something for "
            "the birds. "
            "Our budget is around {budget} €. Could you visit and send us a quote? We hope to start {when}.",
            "Our garden in {place} ({size} m²) needs a complete redesign. Two small children and a dog use "
            "it every day. "
            "Do you offer a design first and the building later? What would a design cost?",
        ),
        (9_000, 45_000),
    ),
    Project(
        "Roof terrace planting",
        (
            "We have a roof terrace of {size} m² in {place}, windy and in full sun. I am looking for "
            "planters, a pergola "
            "and irrigation that works by itself. Could somebody come by {when}? Budget {budget} €.",
            "Is it possible to green a roof terrace in {place} without much weight? The engineer allows "
            "very little. "
            "I would like an estimate for planting and planters on {size} m².",
        ),
        (6_000, 28_000),
    ),
    Project(
        "Natural pond",
        (
            "I dream of a natural pond with a small wooden deck, no chlorine and no fish. The lawn is "
            "{size} m² and slopes "
            "a little to the south. How much should we plan for, and could it be done {when}?",
            "We would like to turn an old pool into a pond that takes care of itself. A friend of ours "
            "recommended you. "
            "Please call me to arrange a visit, I am in {place} most days.",
        ),
        (8_000, 32_000),
    ),
    Project(
        "Patio and outdoor kitchen",
        (
            "We would like a patio of about {size} m² with a simple outdoor kitchen and lighting. Natural "
            "stone if the "
            "budget of {budget} € allows. Please send a proposal, we would like it {when}.",
            "Looking for somebody to replace our broken terrace in {place}. {size} m², good access from the "
            "street. "
            "Could I have a quote for porcelain and for clay pavers?",
        ),
        (7_000, 30_000),
    ),
    Project(
        "Irrigation system",
        (
            "Our plants suffered badly last summer. We need irrigation for {size} m² of beds and lawn in "
            "{place}, fed from "
            "a rainwater tank. What does a system like that cost, and can you install it {when}?",
        ),
        (3_000, 12_000),
    ),
    Project(
        "Hotel courtyard",
        (
            "Our courtyard in {place} seats eighty guests in summer and looks bare. We are planning {size} "
            "m² of planting in "
            "containers, lighting and a small water feature. The board has approved {budget} €. Could you "
            "come for a site "
            "meeting {when}?",
            "We run a small hotel in {place} and want the courtyard to be the reason why people book. We "
            "are comparing "
            "three companies and would like your proposal with a planting plan.",
        ),
        (18_000, 90_000),
        organisations=HOTELS,
    ),
    Project(
        "School playground greening",
        (
            "The parents' association has collected money to green our playground in {place}: shade trees, "
            "a willow hut "
            "and raised beds, about {size} m². Budget {budget} €. Could you visit us {when} and help us "
            "with a plan?",
        ),
        (10_000, 40_000),
        organisations=SCHOOLS,
    ),
    Project(
        "Grounds maintenance",
        (
            "We look after {size} m² of grounds in {place} and our contract ends this year. Please quote "
            "for mowing, hedges, "
            "beds and winter work, twelve months. A visit is possible any morning.",
            "Could you send us your rates for grounds maintenance? Two sites in {place}, hedges and lawns, "
            "nothing special.",
        ),
        (12_000, 60_000),
        organisations=ESTATES,
    ),
    Project(
        "Front garden and driveway",
        (
            "The front of our house in {place} is all gravel. We would like a permeable driveway for two "
            "cars and planting "
            "that needs little care, {size} m² in all. Is a budget of {budget} € realistic?",
        ),
        (6_000, 24_000),
    ),
    Project(
        "Wildflower meadow",
        (
            "We would like to turn {size} m² of lawn into a wildflower meadow and a few fruit trees. When "
            "is the right time, "
            "and what would you charge for preparing the soil and sowing?",
        ),
        (2_000, 9_000),
    ),
    Project(
        "Hedge and screening",
        (
            "We need a screen to the street in {place}, thirty metres, evergreen if possible and good for "
            "birds. Could you "
            "give me a price {when}?",
        ),
        (2_500, 11_000),
    ),
    Project(
        "Garden lighting",
        (
            "We have a lovely garden and cannot see it in the evening. Looking for subtle lighting along "
            "the path and two "
            "trees, {size} m². No hurry, but I would like to know what it costs.",
        ),
        (2_000, 8_000),
    ),
)
BRIEF = (  # most people write little at first
    "Hello, do you also work around {place}? We are thinking about {topic}.",
    "Could you tell me more about {topic}? We saw your van in our street.",
    "We are at the beginning with {topic} and collect ideas. What would you need from us?",
    "Hello, {topic}, about {size} m². Roughly, what would that cost?",
    "I would like to talk about {topic} for our house, it does not have to be soon.",
    "My mother needs help with her garden: {topic}. She is not sure yet whether she wants it.",
    "Is it too late for {topic} this year?",
    "We bought a house in {place}; the outside needs work, above all {topic}. How long is your waiting list?",
    "Do you do {topic} as well, or only whole gardens?",
    "A colleague gave me your name. We have questions about {topic}, who can answer them?",
)
GERMAN = (
    "Guten Tag, wir möchten unseren Garten in {place} neu gestalten, etwa {size} m² mit Hanglage. Wichtig "
    "sind uns eine "
    "Terrasse und viel Platz für Stauden. Unser Budget liegt bei {budget} €. Wann könnten Sie zu einer "
    "Besichtigung "
    "vorbeikommen?",
    "Wir suchen jemanden, der unseren Innenhof in {place} begrünt. Bitte schicken Sie uns ein Angebot, gern "
    "{when_de}.",
)
WHEN_DE = ("noch in diesem Frühjahr", "so bald wie möglich", "nächsten Monat")
FRENCH = (
    "Bonjour, nous souhaitons réaménager notre jardin de {size} m² à {place}, avec une terrasse en bois et "
    "un coin "
    "potager. Pourriez-vous nous envoyer un devis ? Notre budget est d'environ {budget} €.",
)
POOR = (  # interest, message
    ("", "Just looking around for ideas, nothing concrete yet. Maybe next year."),
    (
        "Student project",
        "For a student project I need five questions answered about rain gardens. There is no budget.",
    ),
    (
        "",
        "Hi, our agency can increase your traffic with SEO and backlinks. Are you the right person to talk "
        "to?",
    ),
    ("Lawn", "How much to mow a lawn? As cheap as possible please."),
    ("Job", "I would like to apply for a job as a gardener. I have worked outdoors for six years."),
)
NOTES = (
    "Called, friendly. Decides together with the partner, wants to see two variants.",
    "Access only through the garage, 90 cm wide. Small digger at most.",
    "Soil is heavy clay, water stands after rain. Mention drainage.",
    "Has a neighbour who was unhappy with another company. Wants photos of finished work.",
    "Prefers native plants, no plastic. Asked about maintenance afterwards.",
    "Voicemail. Try again in the late afternoon.",
    "Walked the site: good bones, two old apple trees to keep.",
)
SENT = (  # subject, text: what a colleague answered first
    (
        "Your {topic}",
        "Hello {first},\n\nthank you for writing to us about your {topic}. It sounds like a place with "
        "possibilities. "
        "Before we suggest anything we would like to see the light, the soil and the levels.\n\n"
        "Which morning would suit you for a visit of about an hour?",
    ),
    (
        "A first look at your {topic}",
        "Hello {first},\n\nthank you for your message. We have done several projects like your {topic} and "
        "would be glad to "
        "look at yours. Could you send us a few photographs, so that we come prepared?",
    ),
)
SENT_AGAIN = (
    (
        "Following up on your {topic}",
        "Hello {first},\n\nI wanted to ask whether you have had time to think about the visit. We are "
        "planning the next weeks "
        "and would keep a place for you. Shall I suggest a time?",
    ),
)
REPLIES = (
    "Thank you, that was quick. Mornings are best for us, the gate is never locked. Could you also look at "
    "the old wall?",
    "Thanks for coming back to me. Photos are attached. We would still like to start {when}, and we need a "
    "quote to show "
    "to the bank.",
    "Great, please call me to fix a day. My husband would like to be there too.",
    "Thank you for the answer. We have to talk about it at home first.",
    "Thanks. Let me find out what the landlord says.",
    "That helps, thank you. It will take us some time to decide.",
    "Thank you. We have another offer by now, but we liked your projects more. Can you send your prices?",
    "Sorry for the silence, we were away. Yes, we are still interested, budget unchanged.",
)
SNOOZED = "Wants to talk again after the holidays"
LOST = (
    "Outside our area",
    "Wants the work done by a relative",
    "Not a customer: offers services",
    "Budget far too small",
)

CALLS = (
    "went through the plan, wants the path in brick",
    "agreed on a visit, the gate is round the back",
    "asked for the price without the lighting",
    "has to talk it over at home until the weekend",
)
TASKS = (
    ("Send the planting list", "email"),
    ("Ring about the date of the visit", "call"),
    ("Measure the slope", "meeting"),
    ("Ask the nursery for a price", "todo"),
    ("Look through the quote", "review"),
)
