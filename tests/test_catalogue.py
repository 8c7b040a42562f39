"""The catalogue against what it must agree with: the facts about the reference catalogue and about Stripe's
OpenAPI document that are kept in tests/facts, and the sandbox's own table of resources."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from fnmatch import fnmatchcase
from functools import cache
from string import Formatter
from typing import Any, Final

import pytest

from sandbox.stripe import StripeServer, World, expanded
from sandbox.stripe.filters import PAGING
from sandbox.stripe.kind import Kind
from sandbox.stripe.kinds import KINDS
from sandbox.stripe.paths import Target, match
from source_stripe_native.models import STREAMS, Accounts, BaseStripeObject, UsageRecords
from source_stripe_native.streams.row import PREVIEW
from source_stripe_native.stripe.expansions import LEVELS, embedded_params, list_params, object_params
from source_stripe_native.stripe.listings import expand_params
from tests.capture import Capture, Json
from tests.conftest import NOW
from tests.documentation import text_of
from tests.test_streams import FURTHER, HELD, rows
from tools.facts import REFERENCE, read, stripe_facts

BEFORE_BASIL: Final = "2025-02-24.acacia"
"""The last API version with usage records."""

TYPES: Final[list[str]] = stripe_facts()["event_types"]

COMING: Final[list[str]] = stripe_facts()["preview"]["event_types"]

NOT_IN_THE_SPEC: Final = {
    "invoiceitem.updated": "older API versions sent it when an item was edited",
    "payment_intent.updated": "in the reference catalogue: harmless where Stripe does not send it",
    "promotion_code.deleted": "in the reference catalogue, though promotion codes are never deleted today",
}
"""Types that are followed and that today's Stripe does not list."""

LEFT_OUT: Final = {
    "account.application.*": "carries an application, and is sent to that application's owner alone",
    "billing.alert.triggered": "carries what triggered the alert, which has no id",
    "file.created": "files are found in their list, which has those made without an event too",
    "invoice.payment.overpaid": "comes with invoice.overpaid",
    "invoice.upcoming": "carries the preview of an invoice, which has no id",
    "issuing_authorization.request": "asks for a decision; the authorization comes with its own events",
    "reserve.plan.*": "another object that is called a plan",
    "source.mandate_notification": "carries the notification of a mandate, which no list has",
}
"""Types whose name has that of a captured object in it, and why they are not followed."""

SUBJECTS: Final = {
    "account.external_account": {"external_card", "external_bank_account"},
    "application_fee.refund": {"fee_refund"},
    "charge.dispute": {"dispute"},
    "charge.refund": {"refund"},
    "customer.discount": {"discount"},
    "climate.product": {"climate.product"},
    "customer.source": {"card", "bank_account", "source"},
    "customer.tax_id": {"tax_id"},
    "financial_connections.account": {"financial_connections.account"},
    "sigma.scheduled_query_run": {"scheduled_query_run"},
    "source.transaction": {"source_transaction"},
    "customer.subscription": {"subscription"},
}
"""What a type tells of, in the sandbox's kinds, where its name says something else."""


Check = Callable[[type[BaseStripeObject]], None]
CHECKS: Final[list[tuple[Check, Collection[type[BaseStripeObject]]]]] = []


def check_of(streams: Collection[type[BaseStripeObject]]) -> Callable[[Check], Check]:
    """Makes a function a check of each of these streams. A stream is a test with all of its checks: a test
    for each check would take longer than the check."""

    def added(check: Check) -> Check:
        CHECKS.append((check, streams))
        return check

    return added


@pytest.mark.parametrize("stream", rows())
def test_a_stream_agrees_with_stripe_and_the_sandbox(stream: type[BaseStripeObject]) -> None:
    failed: list[Exception] = []
    for check, streams in CHECKS:
        if stream in streams:
            try:
                check(stream)
            except Exception as error:  # noqa: BLE001 - told below, with those of the other checks
                error.add_note(f"{stream.NAME}: {check.__name__}")
                failed.append(error)
    if failed:
        raise ExceptionGroup(f"{stream.NAME} does not agree", failed)


def kind_of(stream: type[BaseStripeObject]) -> Kind:
    return KINDS[HELD[stream.NAME].kind]


NEW: Final = {"Discounts", *FURTHER}
"""Streams that the reference lacks. They come last."""
JOINED_BY: Final = {"BillingCreditBalanceTransactions": "credit_grant"}
"""Children that do not name their parent, and the field of theirs that names an object which does."""
EVENTED: Final = [each for each in STREAMS if each.EVENT_TYPES]
LISTED: Final = [each for each in STREAMS if each.SEARCH_NAME and not each.SINGLE]
CHILDREN: Final = [each for each in STREAMS if each.PARENT]


# Against the reference catalogue


async def test_streams_are_discovered_as_in_the_reference_catalogue(
    world: World, server: StripeServer
) -> None:
    # The reference account has no Issuing, and a version with usage records.
    world.unavailable.add("issuing")
    capture = Capture(server, config={"advanced": {"api_version": BEFORE_BASIL}})
    ours = {each["recommendedName"]: undescribed(each) for each in await capture.discover()}
    theirs = undescribed(read(REFERENCE)["streams"])
    assert len(theirs) == 45
    assert {name: each for name, each in ours.items() if name in theirs} == theirs
    gone = {each.NAME for each in STREAMS if each.PRODUCT == "issuing" or each.SINCE_VERSION > BEFORE_BASIL}
    assert ours.keys() - theirs.keys() == NEW - gone
    assert [name for name in ours if name not in NEW] == list(ours)[: len(theirs)], "the order"


async def test_the_config_is_that_of_the_reference_connector_and_seven_fields_more(
    server: StripeServer,
) -> None:
    ours = undescribed(await Capture(server).ask("spec", {"connectorType": "LOCAL"}))
    advanced = ours["configSchema"]["$defs"]["Advanced"]
    for name in ("max_requests_per_second", "stripe_context", "webhook_signing_secret"):
        assert advanced["properties"].pop(name)["default"] is None
    assert advanced["properties"].pop("feature_flags")["default"] == ""
    assert advanced["properties"].pop("redact_personal_data")["default"] == "none"
    for name, kind in (("connected_accounts", "ConnectedAccounts"), ("refresh", "Refresh")):
        del advanced["properties"][name]
        del ours["configSchema"]["$defs"][kind]
    assert ours == undescribed(read(REFERENCE)["spec"])


def undescribed(found: Any) -> Any:
    """Without descriptions, which are each connector's own words, and without flags that are not set."""
    if isinstance(found, list):
        return [undescribed(each) for each in found]
    if not isinstance(found, dict):
        return found
    return {
        key: undescribed(value)
        for key, value in found.items()
        if not (key == "description" and isinstance(value, str))
        and (key not in ("disable", "isFallbackKey") or value)
    }


# Event types


@check_of(STREAMS)
def every_event_type_followed_is_one_of_stripes(stream: type[BaseStripeObject]) -> None:
    followed = {*stream.EVENT_TYPES, *stream.PARENT_EVENT_TYPES}
    assert followed <= {*TYPES, *NOT_IN_THE_SPEC}
    assert stream.all_event_types() <= {*TYPES, *NOT_IN_THE_SPEC, *PREVIEW}


INCLUDE: Final = frozenset(("include",))
IMMUTABLE: Final = {
    "v2.core.event",
    "v2.money_management.adjustment",
    "v2.money_management.transaction_entry",
}
"""What never changes: its list is polled."""


@check_of([each for each in STREAMS if each.API == "v2"])
def every_thin_event_that_names_the_object_is_followed(stream: type[BaseStripeObject]) -> None:
    name = kind_of(stream).object_name
    named = stripe_facts()["thin_event_types"].get(name, [])
    if not stream.SNAPSHOTS:
        assert set(stream.THIN_EVENTS) == set(named) or (name in IMMUTABLE and not stream.THIN_EVENTS)


def test_each_type_of_the_preview_that_may_report_a_change_is_followed() -> None:
    coming = set(COMING)
    assert coming >= PREVIEW, "a type that was released is an event type as any other"
    followed = {each for stream in STREAMS for each in stream.all_event_types()}
    assert followed >= PREVIEW
    unseen = {
        each
        for each in coming - PREVIEW
        if subjects(each) and not any(fnmatchcase(each, pattern) for pattern in LEFT_OUT)
    }
    assert unseen == set(), "follow it, or leave it out for a reason"


OF_PARTS_ALONE: Final = {
    "account.application.*": "is sent to the application's owner alone",
    "customer.source.*": "only older versions show sources, and customer.updated reports the default one",
    "customer.subscription.*": "only older versions show subscriptions",
}
"""Types of what belongs to an object, and why the object is not read again after them."""


def test_an_event_of_what_belongs_to_an_object_has_the_object_read_again_or_a_reason_why_not() -> None:
    """The type says what it belongs to: `charge.dispute.created`."""
    lists = {kind_of(row).object_name: row for row in STREAMS if row.PARENT is None}
    seen = set[str]()
    for each in TYPES:
        owner, _, rest = each.partition(".")
        if owner in lists and "." in rest:
            reasons = [pattern for pattern in OF_PARTS_ALONE if fnmatchcase(each, pattern)]
            assert (each in lists[owner].all_event_types()) != bool(reasons), each
            seen.update(reasons)
    assert seen == OF_PARTS_ALONE.keys()


def test_the_exceptions_are_needed() -> None:
    followed = {each for stream in STREAMS for each in stream.EVENT_TYPES}
    assert NOT_IN_THE_SPEC.keys() <= followed - set(TYPES)
    for pattern in LEFT_OUT:
        told = [each for each in (*TYPES, *COMING) if fnmatchcase(each, pattern) and subjects(each)]
        assert told, f"no type of a captured object is left out by {pattern}"
        assert not followed & set(told)


def subjects(event_type: str) -> set[str]:
    """The captured kinds that a type may tell of: those in SUBJECTS, or else every one whose name is in the
    type's. Errs to too many, so that a new type is looked at by a person once."""
    name = event_type.rpartition(".")[0]
    if name in SUBJECTS:
        return SUBJECTS[name]
    parts = name.split(".")
    spelled = {".".join(parts[a:b]) for a in range(len(parts)) for b in range(a + 1, len(parts) + 1)}
    spelled |= {each.replace("issuing_", "issuing.") for each in spelled}
    return {each.kind for each in HELD.values() if KINDS[each.kind].object_name in spelled}


def test_a_type_tells_of_every_captured_object_in_its_name() -> None:
    assert subjects("customer.subscription.paused") == {"subscription"}
    assert subjects("customer.subscription.items.renewed") == {"customer", "subscription"}
    assert subjects("issuing_transaction.settled") == {"issuing.transaction"}
    assert subjects("checkout.session.opened") == {"checkout.session"}
    assert subjects("invoice_payment.paid") == {"invoice_payment"}
    assert subjects("mandate.updated") == set()


def test_every_event_of_a_captured_object_is_followed_or_left_out_for_a_reason() -> None:
    unseen = [
        f"{stream.NAME}: {event_type}"
        for event_type in TYPES
        for stream in STREAMS
        if HELD[stream.NAME].kind in subjects(event_type)
        and event_type not in stream.EVENT_TYPES
        and not stream.LISTED_IN  # the stream of the list has them
        and not any(fnmatchcase(event_type, pattern) for pattern in LEFT_OUT)
    ]
    assert unseen == []


@check_of(EVENTED)
def a_stream_follows_only_events_that_carry_its_document(stream: type[BaseStripeObject]) -> None:
    for event_type in stream.EVENT_TYPES:
        assert HELD[stream.NAME].kind in subjects(event_type), event_type


@check_of(CHILDREN)
def a_child_stream_follows_only_events_that_carry_its_parent(stream: type[BaseStripeObject]) -> None:
    assert stream.PARENT is not None
    assert set(stream.PARENT_EVENT_TYPES) <= set(stream.PARENT.EVENT_TYPES)


@check_of(EVENTED)
def only_what_stripe_no_longer_returns_is_a_deletion(stream: type[BaseStripeObject]) -> None:
    remains = kind_of(stream).cancels is not None or HELD[stream.NAME].kept
    for event_type, op in stream.EVENT_TYPES.items():
        assert (op == "d") == (event_type.endswith(".deleted") and not remains), event_type


# Rows


def test_there_is_a_row_for_each_stream_of_the_reference_catalogue_once() -> None:
    names = [each.NAME for each in STREAMS]
    assert len(names) == len(set(names))
    assert names[49:] == FURTHER, "further streams have the base class AccountObject, and come last"


@check_of(STREAMS)
def what_belongs_together_in_a_row_is_together(stream: type[BaseStripeObject]) -> None:
    names_parent = "{parent}" in stream.SEARCH_NAME
    assert {name for _, name, _, _ in Formatter().parse(stream.SEARCH_NAME) if name} <= {"parent"}
    assert (stream.PARENT is not None) == (names_parent or bool(stream.PARENT_PARAM))
    assert not (names_parent and stream.PARENT_PARAM)
    if stream.PARENT is None:
        child_only = (stream.PARENT_EVENT_TYPES, stream.PARENT_ITEMS, stream.PARENT_FIELD, stream.EMBEDDED)
        assert not any((*child_only, stream.PARENT_BARS, stream.CREATED_WITH_PARENT, stream.NEWEST_LAST))
        assert not any((stream.VARIANTS_OF_PARENT, stream.PARENT_QUERY))
    else:
        assert stream.PARENT in STREAMS
        variants = stream.VARIANTS if stream.VARIANTS_OF_PARENT else {"": {}}
        assert list(stream.PARENT.VARIANTS) == list(variants), "all lists of parents are read"
        is_followed = bool(stream.PARENT_EVENT_TYPES or stream.THIN_EVENTS) or stream.SNAPSHOTS
        assert is_followed or not stream.VARIANTS_OF_PARENT, "a parent may move while its lists are read"
    assert stream.follows_events() or stream.reads_lists(), "nothing would tell of changes"
    assert stream.SNAPSHOTS or not stream.SHOWS_DELETIONS
    assert not (stream.SNAPSHOTS and stream.POLLS)
    assert not stream.EVENT_OBJECT or kind_of(stream).object_name == stream.EVENT_OBJECT
    parents = stream.PARENT if stream.CREATED_WITH_PARENT and stream.PARENT else stream
    assert parents.LISTS_BY_CREATED or stream.RANGED or not stream.RELIST
    assert not stream.RELIST_IF or stream.RELIST
    assert stream.POLLS or not stream.WITHOUT_PARENT
    assert not stream.ONLY_BY_CLOCK or (stream.RELIST and stream.CHANGES_AT)
    # One memory remembers a stream's objects, or the days on which they are due.
    assert not (stream.CHANGES_AT and stream.SNAPSHOTS)
    assert not stream.CHANGES_AT or (stream.LISTS_BY_CREATED and stream.PARENT is None)
    is_parent = any(each.PARENT is stream for each in STREAMS)
    assert stream.PER_ACCOUNT or stream.UNLISTED or not is_parent, "each account is its own parent"
    polls_own_list = stream.POLLS and not stream.THIN_EVENTS
    assert len(stream.VARIANTS) == 1 or not (stream.SCHEDULE or polls_own_list)
    assert stream.POLLS or not stream.THIN_EVENTS
    assert not (stream.THIN_EVENTS or stream.INCLUDES) or stream.API == "v2"
    assert stream.PERMISSION


ELSEWHERE: Final = {
    "BankAccounts": "those of accounts are in ExternalBankAccount",
    "BillingMeterEventSummaries": "Usage of a customer without one is missing",
    "Cards": "those of accounts are in ExternalAccountCards",
    "CustomerTaxIds": "those of the account are in TaxIds",
    "ExternalAccountCards": "those of customers are in Cards",
    "ExternalBankAccount": "those of customers are in BankAccounts",
    "InvoiceLineItems": "the line of a preview is no object",
    "PaymentAttemptRecords": "an attempt has a record",
    "Sources": "A source without a customer is in no list",
    "SourceTransactions": "A source without a customer is in no list",
    "TreasuryDebitReversals": "a reversal has the account of its debit",
    "TreasuryReceivedCredits": "what no account received is no credit",
    "TreasuryReceivedDebits": "what no account paid is no debit",
    "UsageRecords": "each subscription item is in its subscription",
    "V2CoreAccountPersons": "a person is of an account",
}
"""Children that may have no parent, or that are found through what another object shows: where the others
are. A sentence stands in docs/limits.md."""


@check_of(CHILDREN)
def the_parents_of_a_stream_lead_to_all_its_objects_or_a_page_says_to_which_not(
    stream: type[BaseStripeObject],
) -> None:
    assert stream.PARENT is not None
    schema = stripe_facts()["schemas"].get(kind_of(stream).object_name, {})
    name = kind_of(stream.PARENT).object_name.rpartition(".")[2]
    field = schema.get("properties", {}).get(name)
    may_be_alone = field is not None and (field.get("nullable") or name not in schema.get("required", ()))
    is_open = (may_be_alone or bool(stream.PARENT_ITEMS)) and not stream.WITHOUT_PARENT
    assert is_open == (stream.NAME in ELSEWHERE)
    if is_open and (reason := ELSEWHERE[stream.NAME])[0].isupper():
        assert reason in " ".join(text_of("docs/limits.md").split())


@check_of(STREAMS)
def the_fields_that_a_row_names_are_in_its_documents(stream: type[BaseStripeObject]) -> None:
    document = sample(stream)
    assert document["object"] == kind_of(stream).object_name
    added = {"", "account_id", stream.PARENT_FIELD, *stream.PARENT_QUERY}
    added |= {"created"} if stream.SINGLE else set()
    named = {stream.CREATED, *stream.RELIST_IF, *(each.strip("/") for each in stream.KEY)} - added
    assert named <= document.keys()
    if not stream.SINGLE:
        assert kind_of(stream).created == stream.CREATED, "where it tells when it was created, and where not"
    assert stream.PARENT_FIELD not in document, "it would be overwritten by what Stripe says"
    if stream.PARENT is not None:
        parent = sample(stream.PARENT)
        for path in filter(None, (stream.EMBEDDED, stream.PARENT_ITEMS)):
            assert path in stream.PARENT.NESTED
        for path in stream.PARENT_BARS:
            assert path.partition(".")[0] in parent
        link = kind_of(stream).parent
        assert link is not None
        assert link.kind == HELD[stream.PARENT.NAME].kind or stream.PARENT_ITEMS
        if stream.NAME not in JOINED_BY:
            assert link.named == (link.field in document) == (not stream.PARENT_FIELD), (
                "what joins it to its parent"
            )
        else:
            assert document[JOINED_BY[stream.NAME]]


def sample(stream: type[BaseStripeObject]) -> Json:
    """A document of the stream, in a world with one parent of everything."""
    world = World(now=NOW)
    account = world.connect()["id"]
    held = HELD[stream.NAME]
    if held.kind == "event":
        world.create("product", account)
        return world.events(account)[0]
    return world.list_all("account")[0] if held.kind == "account" else world.create(held.kind, account)


@check_of([each for each in STREAMS if each.EXPANSIONS or each.EMBEDDINGS])
def what_a_row_expands_can_be_expanded_as_deep_as_stripe_goes(stream: type[BaseStripeObject]) -> None:
    """The local Stripe refuses what Stripe does not expand."""
    world = World(now=NOW)
    account = world.connect()["id"]
    for _, path in object_params(stream):
        found = world.create(HELD[stream.NAME].kind, account)
        if match(f"{stream.list_template()}/{found['id']}"):
            expanded(world, HELD[stream.NAME].kind, found["id"], path, account=account)
    for embedding in stream.EMBEDDINGS.values():
        container = world.create(HELD[embedding.stream.NAME].kind, account)
        paths = [path for _, path in expand_params(embedding)]
        assert all(path.count(".") < LEVELS for path in paths)
        expanded(world, HELD[embedding.stream.NAME].kind, container["id"], *paths, account=account)
    for _, path in (*list_params(stream), *embedded_params(stream)):
        assert path.count(".") < LEVELS


SECRETS: Final = ("confirmation_secret", "client_secret", "number", "cvc", "payload")


@check_of(STREAMS)
def no_secret_is_ever_asked_for(stream: type[BaseStripeObject]) -> None:
    paths = [each.path for each in stream.EXPANSIONS]
    assert not {name for path in paths for name in path.split(".")} & {*SECRETS}


# Endpoints


def listed(stream: type[BaseStripeObject]) -> tuple[str, set[str]]:
    """The path at which the stream is listed, ids as `{}`, and every parameter that it is listed with."""
    variants = {} if stream.VARIANTS_OF_PARENT else stream.VARIANTS
    asked = {name.partition("[")[0] for params in variants.values() for name in params}
    asked |= {"limit"} if stream.PAGED else set()
    asked |= {"starting_after"} if stream.PAGED and stream.API == "v1" else set()
    asked |= stream.CREATED_IN.names() if stream.LISTS_BY_CREATED else set()
    asked |= {stream.PARENT_PARAM, *stream.PARENT_QUERY} - {""}
    asked |= {"start_time", "end_time"} if stream.RANGED else set()
    return stream.list_template().format(parent="{}"), asked


def target(path: str) -> Target:
    found = match(path.replace("{}", "x_1"))
    assert found is not None, f"the sandbox has no {path}"
    return found[0]


@check_of(LISTED)
def the_sandbox_has_the_list_with_every_parameter(stream: type[BaseStripeObject]) -> None:
    path, asked = listed(stream)
    found = target(path)
    assert "L" in found.ops
    assert kind_of(stream) in found.kinds
    assert_parameters(stream, asked, {each.param for each in found.filters if each.param} | PAGING | INCLUDE)
    assert {each.param for each in found.filters if each.required} <= asked


@check_of([each for each in LISTED if each is not UsageRecords])
def stripe_has_the_list_with_every_parameter(stream: type[BaseStripeObject]) -> None:
    """Usage records are in no document of today: their endpoint was removed."""
    path, asked = listed(stream)
    found = shapes()[path]["get"]
    known = found["query"]
    assert kind_of(stream).object_name in found["lists"]
    assert_parameters(stream, asked, set(known))
    assert {name for name, each in known.items() if "required" in each} <= asked
    variants = {} if stream.VARIANTS_OF_PARENT else stream.VARIANTS
    for name, value in (each for params in variants.values() for each in params.items()):
        assert value in known[name.partition("[")[0]].get("enum", [value]), name


def assert_parameters(stream: type[BaseStripeObject], asked: set[str], known: set[str]) -> None:
    # Without a time of its own no object can be told from those of another time.
    takes_created = stream.CREATED_IN.names() <= known and bool(stream.CREATED)
    assert takes_created == stream.LISTS_BY_CREATED, (
        f"{stream.NAME}: LISTS_BY_CREATED must be {takes_created}"
    )
    assert asked <= known, f"the list of {stream.NAME} does not take {', '.join(sorted(asked - known))}"


def test_usage_records_are_left_out_where_the_spec_has_them_no_more() -> None:
    assert kind_of(UsageRecords).gone_in[:10] == UsageRecords.UNTIL_VERSION


@check_of([each for each in EVENTED if each.RETRIEVE and not each.SINGLE])
def an_object_can_be_retrieved_by_its_own_fields(stream: type[BaseStripeObject]) -> None:
    path = stream.object_path(sample(stream))
    assert path is not None, f"RETRIEVE of {stream.NAME} names a field that its objects lack"
    found = match(path)
    assert found is not None
    assert found[0].item
    assert "R" in found[0].ops
    assert kind_of(stream) in found[0].kinds
    shape = re.sub(
        r"{\w+}", "{}", f"/{stream.API}/{stream.RETRIEVE.replace('{SEARCH_NAME}', stream.SEARCH_NAME)}"
    )
    assert "get" in shapes()[shape]


@check_of([each for each in LISTED if each is not UsageRecords])
def every_object_of_the_catalogue_has_an_id(stream: type[BaseStripeObject]) -> None:
    assert "id" in stripe_facts()["schemas"][kind_of(stream).object_name]["properties"]


def test_the_account_that_the_list_leaves_out_has_an_endpoint() -> None:
    assert Accounts.UNLISTED == "account"
    assert shapes()["/v1/account"]["get"]["returns"] == ["account"]


# Lists inside documents


@check_of([each for each in STREAMS if each is not UsageRecords])
def every_list_that_stripe_cuts_is_completed(stream: type[BaseStripeObject]) -> None:
    """Stripe shows the first ten of each list inside an object."""
    schemas = stripe_facts()["schemas"]
    cut = {*lists_in(schemas, schemas[kind_of(stream).object_name])}
    assert {*stream.NESTED} == cut, f"NESTED of {stream.NAME} must be {tuple(sorted(cut))}"


def lists_in(schemas: Any, schema: Any, path: str = "", seen: frozenset[str] = frozenset()) -> Iterator[str]:
    """The list objects inside an object: those of other objects that it may show whole are theirs."""
    if reference := schema.get("$ref"):
        name = reference.rpartition("/")[2]
        if name not in seen and not (path and "x-resourceId" in schemas[name]):
            yield from lists_in(schemas, schemas[name], path, seen | {name})
        return
    inner: Mapping[str, Any] = schema.get("properties", {})
    if {"data", "has_more", "url"} <= inner.keys():
        yield path
        return
    for each in schema.get("anyOf", []):
        yield from lists_in(schemas, each, path, seen)
    for name, each in inner.items():
        yield from lists_in(schemas, each, f"{path}.{name}" if path else name, seen)
    if items := schema.get("items"):
        yield from lists_in(schemas, items, f"{path}[]", seen)


@cache
def shapes() -> dict[str, Any]:
    """The spec's paths by their shape, ids as `{}`."""
    return {re.sub(r"{\w+}", "{}", path): methods for path, methods in stripe_facts()["paths"].items()}
