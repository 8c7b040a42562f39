"""What joins the streams: each field that the documentation names has the id of a document of the other
stream, and each query of the documentation joins by one of them."""

import re
from collections.abc import Iterator
from random import Random
from typing import Any, Final

import pytest

from sandbox.stripe import World
from sandbox.stripe.kinds import KINDS
from tests.conftest import NOW
from tests.documentation import blocks
from tests.test_streams import HELD, populate
from tools import describe_streams
from tools.joins import Join, joins

JOINS: Final = list(joins())
CLIMBS: Final = re.compile(r"(\w+)\.(\w+)((?:->>?'\w+')*)")


def values(found: Any, path: list[str]) -> Iterator[Any]:
    """What is at a path: each element of a list stands for itself."""
    if not path:
        yield found
    elif path[0] == "*":
        for each in found if isinstance(found, list) else ():
            yield from values(each, path[1:])
    elif isinstance(found, dict) and path[0] in found:
        yield from values(found[path[0]], path[1:])


def test_a_field_has_ids_of_the_streams_that_it_joins() -> None:
    """Whatever the local Stripe has: an id begins as the target's objects do."""
    world, rng = World(now=NOW, effects=True), Random(3)
    world.connect(controller={"type": "application"})
    for account in world.accounts:
        populate(world, rng, account, KINDS, 3)
    by_field: dict[tuple[str, str], set[str]] = {}
    for join in JOINS:
        by_field.setdefault((join.stream, join.path), set()).add(join.target)
    used, wrong = set[Join](), list[str]()
    for (stream, path), targets in by_field.items():
        for found in (
            each for account in world.accounts for each in world.list_all(HELD[stream].kind, account)
        ):
            for value in values(found, path.split(".")):
                ours = [target for target in targets if is_one_of(world, target, value)]
                if value is not None and not ours:
                    wrong.append(f"{stream}.{path} has {value}, which is not of {targets}")
                used |= {Join(stream, path, each) for each in ours}
    assert wrong == []
    assert len(used) > 80


def is_one_of(world: World, stream: str, value: Any) -> bool:
    """Whether a value is the id of a stream's object, which may be gone: then it begins as all of them do."""
    held = HELD[stream]
    kinds = [each for each in (held.kind, held.also) if each]
    begins = any(str(value).startswith(f"{KINDS[each].prefix}_") for each in kinds)
    if stream == "Charges":
        begins |= str(value).startswith("py_")  # a charge in a connected account
    return begins or any(
        value in world.table(each, account).by_id for each in kinds for account in world.accounts
    )


@pytest.mark.parametrize(
    "join",
    [
        Join("PaymentIntents", "payment_record", "PaymentRecords"),
        Join("SubscriptionLineItems", "current_trial.trial_offer", "TrialOffers"),
        Join("Products", "tax_details.performance_location", "TaxLocations"),
        Join("InvoicePayments", "payment.payment_intent", "PaymentIntents"),
        Join("Invoices", "parent.subscription_details.subscription", "Subscriptions"),
        Join("InvoiceLineItems", "pricing.price_details.price", "Prices"),
        Join("SubscriptionLineItems", "price.id", "Prices"),
        Join("PayoutBalanceTransactions", "payout", "Payouts"),
        Join("Subscriptions", "default_source", "Cards"),
    ],
    ids=lambda join: f"{join.stream}.{join.path}",
)
def test_nested_ids_added_ids_and_ids_of_several_join(join: Join) -> None:
    assert join in JOINS
    text = " ".join(describe_streams.page().split())
    fields = [join.path, f"`{join.path}`"]
    assert any(each in text for each in fields)


def test_a_text_that_is_no_id_joins_nothing() -> None:
    fields = {(each.stream, each.path) for each in JOINS}
    assert ("Accounts", "company.tax_id") not in fields
    assert not [path for _, path in fields if path in ("id", "object")]


@pytest.mark.parametrize("page", ["docs/reading-the-data.md", "docs/try-it.md"])
def test_each_query_of_a_page_joins_by_a_documented_field(page: str) -> None:
    queries = [each.text for each in blocks(page) if " JOIN " in f" {' '.join(each.text.split())} "]
    assert queries
    for query in queries:
        names = {alias: name for name, alias in re.findall(r"(?:FROM|JOIN) (\w+) (\w+)", query)}
        conditions = re.findall(r" ON (\S+) = (\S+?)[;\s]", f"{query}\n")
        assert len(conditions) == len(names) - 1
        for one, other in conditions:
            assert joined(names, one, other) or joined(names, other, one), f"{one} = {other}"


def joined(names: dict[str, str], own: str, field: str) -> bool:
    """Whether `field` has the id that `own` is."""
    alias, _, name = own.partition(".")
    found = CLIMBS.fullmatch(field)
    assert found
    path = ".".join((found[2], *re.findall(r"'(\w+)'", found[3])))
    return name == "id" and Join(names[found[1]], path, names[alias]) in JOINS
