"""What people read all day takes as many statements for seven leads as for sixty."""

from collections.abc import Callable

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from crm.actions.tokens import create_token
from crm.api.paging import Cursor
from crm.models import Lead, Opportunity, TimelineEvent, User
from tests.crm.web.pages import signed_in
from tests.factories import make_admin

pytestmark = pytest.mark.django_db
FEW, MANY = 7, 60  # of seven, one has an opportunity
MOST = {  # statements; a page's include the session, the person, and the frame with its counts
    **dict.fromkeys(("first list", "deep list", "filtered list"), 3),
    **dict.fromkeys(("prefix", "e-mail", "phone", "typing error"), 3),
    "palette": 8,
    "list page": 6,
    "lead page": 18,
    "today": 20,
    "board": 10,
    "dashboard": 8,
}


@pytest.fixture
def fill() -> Callable[[int], None]:
    """Made-up leads with all that hangs on them, until there are so many. The tables' owner makes them."""

    def make(leads: int) -> None:
        with connection.cursor() as cursor:
            cursor.execute("RESET ROLE")
            call_command("seed_bench", leads=leads, verbosity=0)
            cursor.execute("SET ROLE gardenos_app")

    return make


def reads() -> dict[str, str]:
    """The address of every read, for what is there now."""
    lead = Lead.objects.order_by("created_at")[Lead.objects.count() // 2]
    owner = User.objects.get(email="bench0@gardenos.local")
    email, phone = (lead.contact_points.get(kind=kind).norm for kind in ("email", "phone"))
    surname = lead.name.split()[1].lower()
    api = "/api/v1/leads/?limit=2"
    return {
        "first list": api,
        "deep list": f"{api}&cursor={Cursor('-created_at', lead.created_at, lead.pk).encode()}",
        "filtered list": f"{api}&status={lead.status}&owner={owner.public_id}",
        "list page": "/leads/",
        "lead page": f"/leads/{lead.public_id}/",
        "today": "/",
        "board": "/bench/board",
        "dashboard": "/bench/dashboard",
        "prefix": f"{api}&q={surname[:5]}",
        "e-mail": f"{api}&q={email}",
        "phone": f"{api}&q=0{phone.removeprefix('+44')}",
        "typing error": f"{api}&q={surname[:4]}{surname[3:]}",
        "palette": f"/search/?q={surname[:5]}",
    }


def cost(browser: Client, program: Client, path: str) -> int:
    """Statements of the second request: the first fills what each process keeps."""
    client = program if path.startswith("/api/") else browser
    for _ in range(2):
        with CaptureQueriesContext(connection) as statements:
            answer = client.get(path)
        assert answer.status_code == 200, (path, answer.status_code)
    return len(statements)


def test_every_read_takes_as_many_statements_for_few_rows_as_for_many(fill, settings):
    settings.ROOT_URLCONF = "tests.bench.urls"
    fill(FEW)
    admin = make_admin()
    Lead.objects.update(owner=admin)  # so that Today has something to show
    browser = signed_in(admin)
    _token, text = create_token(admin, name="Test", scopes=["read"])
    program = Client(headers={"Authorization": f"Bearer {text}"})
    few = {name: cost(browser, program, path) for name, path in reads().items()}
    fill(MANY)
    many = {name: cost(browser, program, path) for name, path in reads().items()}
    assert Lead.objects.count() == MANY
    assert Opportunity.objects.count() > 5
    assert TimelineEvent.objects.count() >= 4 * MANY
    assert many == few
    assert {name: n for name, n in many.items() if n > MOST[name]} == {}
