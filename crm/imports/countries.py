"""Countries by name: ISO 3166-1 codes of what people write in a column called "Country"."""

from crm.actions.identity import fold

# ISO 3166-1 short names in English, then common other names and other languages.
_NAMES = """
AD Andorra|AE United Arab Emirates,UAE,Emirates|AF Afghanistan|AG Antigua and Barbuda|AI Anguilla|AL Albania
AM Armenia|AO Angola|AQ Antarctica|AR Argentina,Argentinien,Argentine|AS American Samoa
AT Austria,Österreich,Oesterreich,Autriche|AU Australia,Australien|AW Aruba|AX Åland Islands|AZ Azerbaijan
BA Bosnia and Herzegovina,Bosnia|BB Barbados|BD Bangladesh|BE Belgium,Belgien,Belgique,België,Bélgica,Belgio
BF Burkina Faso|BG Bulgaria,Bulgarien,Bulgarie|BH Bahrain|BI Burundi|BJ Benin|BL Saint Barthélemy|BM Bermuda
BN Brunei,Brunei Darussalam|BO Bolivia|BQ Bonaire|BR Brazil,Brasil,Brasilien,Brésil|BS Bahamas|BT Bhutan
BV Bouvet Island|BW Botswana|BY Belarus|BZ Belize|CA Canada,Kanada|CC Cocos Islands
CD Democratic Republic of the Congo,DR Congo|CF Central African Republic|CG Congo
CH Switzerland,Schweiz,Suisse,Svizzera,Suiza,Zwitserland|CI Ivory Coast,Côte d'Ivoire|CK Cook Islands
CL Chile|CM Cameroon|CN China,PR China|CO Colombia|CR Costa Rica|CU Cuba|CV Cape Verde,Cabo Verde|CW Curaçao
CX Christmas Island|CY Cyprus,Zypern|CZ Czech Republic,Czechia,Tschechien,Tchéquie,Česko
DE Germany,Deutschland,Allemagne,Alemania,Germania,Duitsland,Niemcy|DJ Djibouti
DK Denmark,Dänemark,Danmark,Danemark|DM Dominica|DO Dominican Republic|DZ Algeria,Algérie,Algerien
EC Ecuador|EE Estonia,Estland|EG Egypt,Ägypten,Égypte|EH Western Sahara|ER Eritrea
ES Spain,Spanien,España,Espagne,Spagna,Spanje|ET Ethiopia|FI Finland,Finnland,Suomi|FJ Fiji
FK Falkland Islands|FM Micronesia|FO Faroe Islands|FR France,Frankreich,Francia,Frankrijk|GA Gabon
GB United Kingdom,UK,Great Britain,Britain,England,Scotland,Wales,Northern Ireland,Grossbritannien,Royaume-Uni
GB Vereinigtes Königreich,Reino Unido,Regno Unito,Verenigd Koninkrijk|GD Grenada|GE Georgia|GF French Guiana
GG Guernsey|GH Ghana|GI Gibraltar|GL Greenland|GM Gambia|GN Guinea|GP Guadeloupe|GQ Equatorial Guinea
GR Greece,Griechenland,Grèce,Grecia|GS South Georgia|GT Guatemala|GU Guam|GW Guinea-Bissau|GY Guyana
HK Hong Kong|HM Heard Island|HN Honduras|HR Croatia,Kroatien,Hrvatska,Croatie|HT Haiti
HU Hungary,Ungarn,Magyarország,Hongrie|ID Indonesia,Indonesien|IE Ireland,Irland,Irlande,Republic of Ireland
IL Israel|IM Isle of Man|IN India,Indien,Inde|IO British Indian Ocean Territory|IQ Iraq|IR Iran
IS Iceland,Island|IT Italy,Italien,Italia,Italie,Italië|JE Jersey|JM Jamaica|JO Jordan
JP Japan,Japon,Giappone|KE Kenya|KG Kyrgyzstan|KH Cambodia|KI Kiribati|KM Comoros|KN Saint Kitts and Nevis
KP North Korea|KR South Korea,Korea,Republic of Korea|KW Kuwait|KY Cayman Islands|KZ Kazakhstan|LA Laos
LB Lebanon|LC Saint Lucia|LI Liechtenstein|LK Sri Lanka|LR Liberia|LS Lesotho|LT Lithuania,Litauen
LU Luxembourg,Luxemburg|LV Latvia,Lettland|LY Libya|MA Morocco,Maroc,Marokko|MC Monaco|MD Moldova
ME Montenegro|MF Saint Martin|MG Madagascar|MH Marshall Islands|MK North Macedonia,Macedonia|ML Mali
MM Myanmar,Burma|MN Mongolia|MO Macao,Macau|MP Northern Mariana Islands|MQ Martinique|MR Mauritania
MS Montserrat|MT Malta|MU Mauritius|MV Maldives|MW Malawi|MX Mexico,Mexiko,México,Mexique|MY Malaysia
MZ Mozambique|NA Namibia|NC New Caledonia|NE Niger|NF Norfolk Island|NG Nigeria|NI Nicaragua
NL Netherlands,The Netherlands,Holland,Niederlande,Nederland,Pays-Bas,Países Bajos,Paesi Bassi
NO Norway,Norwegen,Norge,Norvège|NP Nepal|NR Nauru|NU Niue|NZ New Zealand,Neuseeland|OM Oman|PA Panama
PE Peru|PF French Polynesia|PG Papua New Guinea|PH Philippines,Philippinen|PK Pakistan
PL Poland,Polen,Polska,Pologne,Polonia|PM Saint Pierre and Miquelon|PN Pitcairn|PR Puerto Rico
PS Palestine,Palestinian Territories|PT Portugal|PW Palau|PY Paraguay|QA Qatar,Katar|RE Réunion
RO Romania,Rumänien,România,Roumanie|RS Serbia,Serbien|RU Russia,Russian Federation,Russland,Russie
RW Rwanda|SA Saudi Arabia,KSA|SB Solomon Islands|SC Seychelles|SD Sudan
SE Sweden,Schweden,Sverige,Suède,Suecia,Svezia,Zweden|SG Singapore,Singapur|SH Saint Helena
SI Slovenia,Slowenien|SJ Svalbard and Jan Mayen|SK Slovakia,Slowakei|SL Sierra Leone|SM San Marino
SN Senegal|SO Somalia|SR Suriname|SS South Sudan|ST Sao Tome and Principe|SV El Salvador|SX Sint Maarten
SY Syria|SZ Eswatini,Swaziland|TC Turks and Caicos Islands|TD Chad|TF French Southern Territories|TG Togo
TH Thailand|TJ Tajikistan|TK Tokelau|TL Timor-Leste,East Timor|TM Turkmenistan|TN Tunisia|TO Tonga
TR Turkey,Türkiye,Türkei,Turquie|TT Trinidad and Tobago|TV Tuvalu|TW Taiwan|TZ Tanzania|UA Ukraine|UG Uganda
UM US Minor Outlying Islands
US United States,USA,United States of America,America,U.S.,U.S.A.,Vereinigte Staaten
US États-Unis,Estados Unidos,Stati Uniti,Verenigde Staten|UY Uruguay|UZ Uzbekistan|VA Vatican,Holy See
VC Saint Vincent and the Grenadines|VE Venezuela|VG British Virgin Islands|VI US Virgin Islands
VN Vietnam,Viet Nam|VU Vanuatu|WF Wallis and Futuna|WS Samoa|XK Kosovo|YE Yemen|YT Mayotte
ZA South Africa,Südafrika|ZM Zambia|ZW Zimbabwe
"""


def _folded(name: str) -> str:
    return " ".join("".join(c if c.isalnum() else " " for c in fold(name)).split())


_CODES = {
    _folded(name): entry[:2]
    for entry in _NAMES.replace("\n", "|").split("|")
    if entry
    for name in (entry[:2], *entry[3:].split(","))
}


def country_code(text: str) -> str:
    """The two-letter code of a country's name or code, or "" for what is no country we know."""
    return _CODES.get(_folded(text), "")
