"""No document has a secret with which whoever knows it may act: client secrets, card numbers, passwords.

What is a secret follows from the newest facts about Stripe: they mark each field whose name or description is
that of a secret. A marked field is redacted, or is in NOT_SECRET for a reason. So a secret of a later version
makes a test fail.
"""

from copy import deepcopy
from functools import cache
from typing import Any, Final

import pytest

from sandbox.stripe import StripeServer, World
from sandbox.stripe.kinds import KINDS
from source_stripe_native.models import STREAMS
from source_stripe_native.streams.redacted import PLACES, redact
from tests.capture import Capture, Json
from tests.test_streams import HELD
from tools.facts import references, stripe_facts

SCHEMAS: Final[Json] = stripe_facts()["schemas"]
NOT_SECRET: Final = {
    "application_cryptogram": "a terminal prints it on the customer's receipt",
    "authorization_code": "the bank's reference, which is printed on receipts",
    "avalgo": "the name of an algorithm",
    "emv_auth_data": "the bank's answer to a card that was present, of use to nobody else",
}
"""Fields that the facts mark, and why they are captured."""
TOLD: Final = "whoever knows this may act"
LINK: Final = "https://hooks.stripe.com/redirect/src_1?client_secret=src_client_secret_1"
DEPTH: Final = 6
"""Objects inside objects that are looked at: an error has a payment intent, which has an error."""


def is_secret(schema: str, field: str) -> bool:
    return "x-secret" in SCHEMAS[schema]["properties"][field] and field not in NOT_SECRET


def shown(field: Json) -> list[str]:
    """The schemas that a field shows unasked. An id stands for what can be expanded."""
    if any(each.get("type") == "string" for each in field.get("anyOf", ())):
        return []
    return references(field)


@cache
def has_secrets(schema: str) -> bool:
    """Whether an object shows a secret, itself or in another object."""
    wanted, found = [schema], {schema}
    while wanted:
        name = wanted.pop()
        fields = SCHEMAS[name].get("properties", {})
        if any(is_secret(name, field) for field in fields):
            return True
        inside = {each for field in fields.values() for each in shown(field)} - found
        inside |= set(references(SCHEMAS[name].get("anyOf", []))) - found
        wanted += inside
        found |= inside
    return False


def planted(schema: str, depth: int = DEPTH) -> Json:
    """An object with all of its secrets, and with all objects inside it that have some."""
    made: Json = {}
    for name, field in SCHEMAS[schema].get("properties", {}).items():
        inside = [each for each in shown(field) if has_secrets(each)] if depth else []
        if name == "object":
            made[name] = field.get("enum", [schema])[0]
        elif is_secret(schema, name):
            made[name] = {"client_secret": TOLD} if shown(field) else TOLD
        elif inside:
            value = planted(inside[0], depth - 1)
            is_list = "has_more" in field.get("properties", {})
            listed = {"object": "list", "data": [value], "has_more": False, "url": "/v1/none"}
            made[name] = listed if is_list else [value] if field.get("type") == "array" else value
    return made


def anonymous(value: Any) -> Any:
    """The same, without what objects call themselves."""
    if isinstance(value, dict):
        return {name: anonymous(each) for name, each in value.items() if name != "object"}
    return [anonymous(each) for each in value] if isinstance(value, list) else value


RESOURCES: Final = sorted(name for name in SCHEMAS if planted(name, 0).get("object") and has_secrets(name))


@pytest.mark.parametrize("schema", RESOURCES)
def test_every_secret_of_stripes_document_is_left_out_of_objects_and_events(schema: str) -> None:
    found = planted(schema)
    event: Json = {"object": "event", "data": {"object": deepcopy(found)}}
    event["data"]["previous_attributes"] = anonymous(found)
    assert str(event).count(TOLD) >= 2
    redact(found)
    redact(event)
    assert TOLD not in f"{found} {event}"


def test_each_place_is_one_of_a_resource_or_of_an_older_version() -> None:
    older = {("charge", "source"), ("payment_intent", "charges"), ("customer", "default_source")}
    posted = {("terminal.connection_token", "secret")}
    links = {(name, field) for name, fields in PLACES.items() for field in fields if fields[field] == "links"}
    known = {(name, field) for name in RESOURCES for field in planted(name)} | older | posted | links
    kinds = {*SCHEMAS, *(name for name, _ in posted)}
    places = {(name, field) for name, fields in PLACES.items() if name in kinds for field in fields}
    assert places <= known


def test_nothing_with_a_secret_is_expanded() -> None:
    asked = [(stream, each.path) for stream in STREAMS for each in stream.EXPANSIONS]
    assert len(asked) > 20
    assert not [path for stream, path in asked if any(map(has_secrets, expanded(stream, path)))]


def expanded(stream: Any, path: str) -> list[str]:
    """The schemas of what a path leads to."""
    schemas = [KINDS[HELD[stream.NAME].kind].object_name]
    for name in path.split("."):
        fields = [SCHEMAS[each].get("properties", {}).get(name, {}) for each in schemas if each in SCHEMAS]
        schemas = [each for field in fields for each in references(field)]
    return schemas


def test_only_links_that_tell_a_client_secret_are_left_out_of_a_next_action() -> None:
    voucher = {"hosted_voucher_url": "https://payments.stripe.com/oxxo/voucher/1", "number": "1"}
    actions: list[Json] = [
        {"redirect_to_url": {"return_url": "https://a.b", "url": LINK}},
        {"use_stripe_sdk": {"stripe_js": LINK, "source": "src_1"}},
        {"oxxo_display_details": voucher, "links": [LINK, "https://a.b"]},
    ]
    found: list[Json] = [{"object": "payment_intent", "next_action": each} for each in actions]
    for each in found:
        redact(each)
    assert [each["next_action"] for each in found] == [
        {"redirect_to_url": {"return_url": "https://a.b"}},
        {"use_stripe_sdk": {"source": "src_1"}},
        {"oxxo_display_details": voucher, "links": ["https://a.b"]},
    ]


def test_what_only_looks_like_a_secret_stays() -> None:
    """Whatever a body has: the local Stripe sends odd ones too."""
    whole: list[Json] = [
        {"object": "invoice", "number": "A-1", "last_finalization_error": None},
        {"object": "file", "url": "https://files.stripe.com/v1/files/file_1/contents"},
        {"object": "charge", "source": {"object": "card", "last4": "4242"}},
        {"object": "customer", "sources": {"object": "list", "data": [], "has_more": False}},
        {"object": "payment_intent", "charges": "none", "last_payment_error": 1, "next_action": "none"},
        {"object": "event", "data": None},
        {"object": "event", "data": {"object": None}},
        {"object": ["odd"]},
        {},
    ]
    for each in whole:
        left = deepcopy(each)
        redact(left)
        assert left == each


HOLDING: Final = [each.NAME for each in STREAMS if KINDS[HELD[each.NAME].kind].object_name in RESOURCES]


async def test_secrets_are_in_no_document(world: World, server: StripeServer) -> None:
    """Of a backfill, of changes and of the events themselves."""
    capture = Capture(server, [*HOLDING, "Events"])
    fields, telling = dict[str, Json](), set[str]()
    for name in HOLDING:
        kind = KINDS[HELD[name].kind]
        made = planted(kind.object_name, 3)
        fields[kind.name] = {field: each for field, each in made.items() if field != "object"}
        if TOLD in str(world.create(kind.name, **fields[kind.name])):
            telling.add(name)
    # The others show theirs only when asked.
    assert telling >= {"PaymentIntents", "SetupIntents", "Sources", "TopUps"}
    await capture.backfill(pause=10)
    for kind_name, secrets in fields.items():
        for found in world.list_all(kind_name):
            gone: Json = dict.fromkeys(secrets)
            world.update(kind_name, found["id"], metadata={"a": "b"}, **gone)
    assert {name for name, _ in capture.documents} >= {*HOLDING, "Events"}
    assert len(await capture.catch_up()) > len(HOLDING) / 2
    told = [name for name, document in capture.documents if TOLD in str(document)]
    assert told == []
    assert "client_secret" not in str(capture.documents)
    assert TOLD not in str(capture.state)
