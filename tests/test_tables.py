"""A row that the tests do not know yet: what is missing is said before any of them runs."""

from dataclasses import replace

import pytest

from sandbox.stripe.kinds import KINDS
from source_stripe_native.models import STREAMS
from source_stripe_native.streams.row import DatedAccountObject
from tests import conftest
from tests.tables import forgotten, missing_entries
from tests.test_streams import HELD, Held


class Novelties(DatedAccountObject):
    NAME = "Novelties"
    SEARCH_NAME = "novelties"


class Parts(DatedAccountObject):
    NAME = "Parts"
    SEARCH_NAME = "products/{parent}/parts"


def test_nothing_is_missing() -> None:
    assert missing_entries(STREAMS, HELD, KINDS) == []


def test_a_new_row_is_told_what_to_add_and_where() -> None:
    assert missing_entries([*STREAMS, Novelties, Parts], HELD, KINDS) == [
        "sandbox/stripe/kinds: no Kind has Novelties's path /v1/novelties: add one",
        'tests/test_streams.py: HELD lacks Novelties: add "Novelties": Held(the Kind\'s name)',
        "sandbox/stripe/kinds: no Kind has Parts's path /v1/products/{}/parts: add one",
        'tests/test_streams.py: HELD lacks Parts: add "Parts": Held(the Kind\'s name)',
    ]


def test_where_the_local_stripe_has_the_list_the_entry_is_told_whole() -> None:
    held = {name: each for name, each in HELD.items() if name != "TaxRates"}
    assert missing_entries(STREAMS, held, KINDS) == [
        'tests/test_streams.py: HELD lacks TaxRates: add "TaxRates": Held("tax_rate")'
    ]


def test_a_path_that_stripe_documents_has_no_kind_until_one_is_added() -> None:
    kinds = {name: each for name, each in KINDS.items() if name != "tax_rate"}
    missing = "sandbox/stripe/kinds: no Kind has TaxRates's path /v1/tax_rates: add one"
    assert missing_entries(STREAMS, HELD, kinds) == [missing]
    assert missing_entries(STREAMS, {n: each for n, each in HELD.items() if n != "TaxRates"}, kinds) == [
        missing,
        'tests/test_streams.py: HELD lacks TaxRates: add "TaxRates": Held("tax_rate")',
    ]


def test_an_entry_that_leads_nowhere_is_told() -> None:
    held = HELD | {"TaxRates": replace(HELD["TaxRates"], kind="rate"), "Gone": Held("tax_rate")}
    assert missing_entries(STREAMS, held, KINDS) == [
        "sandbox/stripe/kinds: no Kind is named 'rate', which TaxRates has in HELD: add it",
        "tests/test_streams.py: HELD has Gone, which is not in STREAMS: remove it",
    ]


def test_a_class_that_is_forgotten_in_the_list_of_streams_is_told() -> None:
    assert forgotten(STREAMS) == []
    assert forgotten([each for each in STREAMS if each.NAME != "TaxRates"]) == [
        "source_stripe_native/streams/__init__.py: STREAMS lacks TaxRates of tax.py: add it to the end"
    ]


def test_no_test_is_run_before_the_entries_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    conftest.pytest_sessionstart()
    monkeypatch.delitem(HELD, "TaxRates")
    with pytest.raises(pytest.UsageError, match="HELD lacks TaxRates"):
        conftest.pytest_sessionstart()
