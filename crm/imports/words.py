"""What column names mean, in the languages our users' exports come in."""

from crm.actions.identity import fold

# Folded (no accents, lower case), signs as spaces. First match wins; the order is that of the form.
FIELD_WORDS: dict[str, frozenset[str]] = {
    field: frozenset(words.split("|"))
    for field, words in {
        "first_name": "first name|firstname|given name|forename|vorname|prenom|nombre de pila|voornaam",
        "last_name": "last name|lastname|surname|family name|nachname|familienname|zuname|nom de famille"
        "|apellido|apellidos|cognome|achternaam|sobrenome",
        "name": "name|full name|fullname|lead name|contact|contact name|contact person|person|customer"
        "|customer name|client|client name|prospect|ansprechpartner|kontakt|kontaktperson|kunde"
        "|kundenname|vollstandiger name|nom|nom complet|contacto|nombre|nombre completo|nome"
        "|nome completo|contatto|naam|contactpersoon",
        "company": "company|company name|organisation|organization|organisation name|organization name"
        "|business|business name|employer|account|account name|firma|firmenname|unternehmen"
        "|entreprise|societe|empresa|compania|azienda|bedrijf|bedrijfsnaam",
        "title": "title|job title|jobtitle|job|position|role|funktion|stelle|poste|fonction|cargo|puesto"
        "|ruolo|functie",
        "email": "email|e mail|mail|email address|e mail address|mail address|emailaddress|primary email"
        "|work email|business email|contact email|email 1|e mail adresse|mailadresse"
        "|email adresse|courriel|mel|adresse email|adresse e mail|correo|correo electronico"
        "|posta elettronica|indirizzo email|emailadres|e mailadres",
        "phone": "phone|phone number|phonenumber|phone no|telephone|telephone number|tel|tel no|mobile"
        "|mobile phone|mobile number|cell|cell phone|cellphone|work phone|business phone|phone 1"
        "|telefon|telefonnummer|handy|handynummer|mobil|mobilnummer|rufnummer|numero de telephone"
        "|portable|telefono|movil|celular|cellulare|telefoon|telefoonnummer|mobiel",
        "country": "country|country code|country name|country region|land|staat|pays|pais|paese",
        "interest": "interest|interested in|interests|product|product interest|service|subject|topic"
        "|enquiry type|inquiry type|project type|interesse|betreff|thema|objet|interet|asunto"
        "|interes|oggetto|onderwerp",
        "est_value": "value|est value|estimated value|amount|budget|deal value|deal size|deal amount"
        "|opportunity value|expected revenue|annual value|wert|auftragswert|betrag|summe|montant"
        "|valeur|importe|valor|presupuesto|importo|valore|bedrag|waarde",
        "currency": "currency|currency code|wahrung|devise|moneda|valuta|munteenheid",
        "message": "message|comment|comments|notes|note|description|enquiry|inquiry|request|details"
        "|nachricht|anfrage|bemerkung|bemerkungen|notiz|notizen|kommentar|remarque|remarques"
        "|commentaire|commentaires|demande|mensaje|comentario|comentarios|notas|consulta"
        "|messaggio|richiesta|bericht|opmerking|opmerkingen",
        "mailing_address": "mailing address|postal address|address|billing address|anschrift|adresse"
        "|direccion|indirizzo|adres",
        "physical_address": "site address|physical address|property address|job site|objektadresse"
        "|adresse du chantier",
        "tags": "tags|tag|labels|schlagworte|schlagworter|etiquettes|etiquetas|etichette",
    }.items()
}
LAST_NAME_BESIDE_FIRST = frozenset("name nom naam nome".split())  # "Vorname; Name"
FIRST_NAME_BESIDE_LAST = frozenset("name nombre nome nom naam".split())  # "Nombre; Apellidos"


def spoken(column: str) -> str:
    """A column's name as words: "E-Mail_Address" -> "e mail address", "jobTitle" -> "job title"."""
    humps = "".join(
        f" {c}" if c.isupper() and i and column[i - 1].islower() else c for i, c in enumerate(column)
    )
    return fold("".join(c if c.isalnum() else " " for c in humps))


def field_called(column: str) -> str:
    """The field that a column's name means, or ""."""
    words = spoken(column)
    return next((field for field, known in FIELD_WORDS.items() if words in known), "")


def is_id_name(column: str) -> bool:
    """Whether the name ends in "ID": "Prospect ID", "lead_id", "recordId", "Id"; not "Paid" or "Android"."""
    words = spoken(column).split()
    return bool(words) and words[-1] in {"id", "uuid", "guid"}
