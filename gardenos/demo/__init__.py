"""Sample data: believable leads of a company that designs and builds gardens, gone again in one command.

Everything hangs on leads whose first inquiry has a key that begins with `KEY`. All addresses end in .example
(RFC 2606) and all telephone numbers come from ranges that are reserved for fiction.
"""

KEY = "demo:"
SOURCES = {  # code -> (name, channel)
    "demo-website": ("Website (sample)", "form"),
    "demo-phone": ("Telephone (sample)", "phone"),
    "demo-mail": ("Mailbox (sample)", "email"),
    "demo-fair": ("Garden fair (sample)", "manual"),
}
COLLEAGUES = (
    ("mara.lindqvist@gardenos.example", "Mara Lindqvist"),
    ("tom.okafor@gardenos.example", "Tom Okafor"),
)
PIPELINE = "Gardens (sample)"
STAGES = (  # name, kind, percent, days until a card is stalled
    ("Visit agreed", "open", 20, 10),
    ("Design sent", "open", 45, 12),
    ("Quote sent", "open", 70, 14),
    ("Ordered", "won", 100, None),
    ("Lost", "lost", 0, None),
)
