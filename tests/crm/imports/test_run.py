"""From a file to leads."""

import pytest

from crm.models import Lead
from tests.crm.imports.files import counts, people, run

pytestmark = pytest.mark.django_db


def test_each_row_becomes_a_lead_with_all_that_belongs_to_it():
    job = run(people(30))
    assert counts(job) == (30, 0, 0, 0)
    lead = Lead.objects.get(name="Person 7")
    assert lead.company == "Firm 7"
    assert lead.custom == {"garden": "roof", "visits": 7}


def test_the_same_file_again_creates_nothing():
    run(people(30))
    job = run(people(30))
    assert counts(job) == (0, 0, 30, 0)
