"""Every stream against the world: what a capture of all bindings holds is what Stripe has, and stays so."""

from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import orjson
import pytest

from sandbox.stripe import StripeServer, Visit, World, expanded, v2
from sandbox.stripe.kinds import KINDS
from sandbox.stripe.routes import Api, Request
from source_stripe_native.models import STREAMS, BaseStripeObject
from source_stripe_native.streams.row import AccountObject
from source_stripe_native.stripe.documents import get_path
from source_stripe_native.stripe.expansions import keyed_paths, may_have
from tests.capture import Capture, Json, unstamped, without_secrets
from tests.conftest import NOW

DAY = 86_400
EACH = 24
"""Objects of each resource in each account."""
CHANGES = 200


@dataclass(frozen=True)
class Held:
    """What a stream holds: the world's `kind`, and the field that the connector adds to it with its parent's
    id. `scope` is "own" for objects of each account that is captured, "platform" for those that only the
    platform has, "connected" for those that belong to connected accounts. `kept` says that the last version
    stays when Stripe lists the object no longer, since its deletion has no event. `quiet` are fields that
    change without an event of the object: they are as of its last one. `also` is a second kind that the
    list has."""

    kind: str
    scope: str = "own"
    parent_field: str = ""
    kept: bool = False
    quiet: tuple[str, ...] = ()
    also: str = ""


HELD = {
    "Accounts": Held("account", "platform"),
    "Persons": Held("person", "connected"),
    "ExternalAccountCards": Held("external_card", "connected"),
    "ExternalBankAccount": Held("external_bank_account", "connected"),
    "ApplicationFees": Held("application_fee", quiet=("refunds",)),
    "ApplicationFeesRefunds": Held("fee_refund"),
    "Customers": Held("customer"),
    "BankAccounts": Held("bank_account"),
    "Cards": Held("card"),
    "CustomerBalanceTransaction": Held("customer_balance_transaction", kept=True),
    "PaymentMethods": Held("payment_method"),
    "BalanceTransactions": Held("balance_transaction", also="paid_balance_transaction"),
    "Charges": Held("charge"),
    "CheckoutSessions": Held("checkout.session"),
    "CheckoutSessionsLine": Held("item", parent_field="checkout_session"),
    "Disputes": Held("dispute"),
    "EarlyFraudWarning": Held("radar.early_fraud_warning"),
    "PaymentIntents": Held("payment_intent"),
    "Payouts": Held("payout"),
    "Refunds": Held("refund"),
    "Reviews": Held("review"),
    "SetupIntents": Held("setup_intent"),
    "SetupAttempts": Held("setup_attempt"),
    "TopUps": Held("topup"),
    "Transfers": Held("transfer"),
    "TransferReversals": Held("transfer_reversal"),
    "Coupons": Held("coupon"),
    "CreditNotes": Held("credit_note"),
    "CreditNotesLines": Held("credit_note_line_item", parent_field="credit_note"),
    "InvoiceItems": Held("invoiceitem"),
    "Invoices": Held("invoice"),
    "InvoiceLineItems": Held("line_item"),
    "Plans": Held("plan"),
    "Products": Held("product"),
    "Prices": Held("price"),
    "PromotionCode": Held("promotion_code"),
    "Subscriptions": Held("subscription"),
    "SubscriptionItems": Held("subscription"),
    "SubscriptionSchedule": Held("subscription_schedule"),
    "UsageRecords": Held("usage_record_summary"),
    "Events": Held("event"),
    "Files": Held("file", quiet=("links",)),
    "FilesLink": Held("file_link"),
    "ValueLists": Held("radar.value_list", quiet=("list_items",)),
    "ValueListItems": Held("radar.value_list_item"),
    "Authorizations": Held("issuing.authorization"),
    "CardHolders": Held("issuing.cardholder"),
    "Transactions": Held("issuing.transaction"),
    "Discounts": Held("discount", parent_field="found_in", kept=True),
    "InvoicePayments": Held("invoice_payment"),
    "SubscriptionLineItems": Held("subscription_item"),
    "InlinePrices": Held("price", parent_field="found_in", kept=True),
    "PaymentLinks": Held("payment_link"),
    "PaymentLinkLineItems": Held("payment_link_item"),
    "Quotes": Held("quote"),
    "QuoteLineItems": Held("quote_item"),
    "QuoteComputedUpfrontLineItems": Held("quote_upfront_item"),
    "ShippingRates": Held("shipping_rate"),
    "TaxRates": Held("tax_rate"),
    "CustomerTaxIds": Held("tax_id"),
    "TaxIds": Held("account_tax_id"),
    "TaxRegistrations": Held("tax.registration"),
    "TaxCodes": Held("tax_code", "platform"),
    "PayoutBalanceTransactions": Held("paid_balance_transaction"),
    "PaymentIntentAmountDetailsLineItems": Held("payment_intent_amount_details_line_item"),
    "Balances": Held("balance"),
    "BillingMeters": Held("billing.meter"),
    "BillingMeterEventSummaries": Held("billing.meter_event_summary"),
    "BillingAlerts": Held("billing.alert"),
    "BillingCreditGrants": Held("billing.credit_grant"),
    "BillingCreditBalanceTransactions": Held("billing.credit_balance_transaction"),
    "BillingFeedbackOptions": Held("billing.feedback_option"),
    "CustomerCashBalanceTransactions": Held("customer_cash_balance_transaction"),
    "Sources": Held("source"),
    "SourceTransactions": Held("source_transaction", kept=True),
    "EntitlementsFeatures": Held("entitlements.feature"),
    "EntitlementsActiveEntitlements": Held("entitlements.active_entitlement"),
    "ProductFeatures": Held("product_feature"),
    "Capabilities": Held("capability", "connected"),
    "IssuingCards": Held("issuing.card"),
    "IssuingDisputes": Held("issuing.dispute"),
    "IssuingPersonalizationDesigns": Held("issuing.personalization_design"),
    "IssuingPhysicalBundles": Held("issuing.physical_bundle"),
    "IssuingTokens": Held("issuing.token"),
    "IdentityVerificationSessions": Held("identity.verification_session"),
    "IdentityVerificationReports": Held("identity.verification_report"),
    "FinancialConnectionsAccounts": Held("financial_connections.account"),
    "FinancialConnectionsTransactions": Held("financial_connections.transaction"),
    "FinancialConnectionsAccountOwners": Held("financial_connections.account_owner"),
    "TreasuryFinancialAccounts": Held("treasury.financial_account"),
    "TreasuryTransactions": Held("treasury.transaction"),
    "TreasuryTransactionEntries": Held("treasury.transaction_entry"),
    "TreasuryCreditReversals": Held("treasury.credit_reversal"),
    "TreasuryDebitReversals": Held("treasury.debit_reversal"),
    "TreasuryInboundTransfers": Held("treasury.inbound_transfer"),
    "TreasuryOutboundPayments": Held("treasury.outbound_payment"),
    "TreasuryOutboundTransfers": Held("treasury.outbound_transfer"),
    "TreasuryReceivedCredits": Held("treasury.received_credit"),
    "TreasuryReceivedDebits": Held("treasury.received_debit"),
    "TerminalLocations": Held("terminal.location"),
    "TerminalReaders": Held("terminal.reader"),
    "TerminalConfigurations": Held("terminal.configuration"),
    "PaymentRecords": Held("payment_record"),
    "PaymentAttemptRecords": Held("payment_attempt_record"),
    "ForwardingRequests": Held("forwarding.request"),
    "ClimateOrders": Held("climate.order"),
    "ClimateProducts": Held("climate.product", "platform"),
    "ClimateSuppliers": Held("climate.supplier", "platform"),
    "ReportingReportRuns": Held("reporting.report_run"),
    "ReportingReportTypes": Held("reporting.report_type"),
    "SigmaScheduledQueryRuns": Held("scheduled_query_run"),
    "BillingPortalConfigurations": Held("billing_portal.configuration"),
    "InvoiceRenderingTemplates": Held("invoice_rendering_template"),
    "PaymentMethodConfigurations": Held("payment_method_configuration"),
    "PaymentMethodDomains": Held("payment_method_domain"),
    "ApplePayDomains": Held("apple_pay_domain"),
    "WebhookEndpoints": Held("webhook_endpoint"),
    "AppsSecrets": Held("apps.secret"),
    "CountrySpecs": Held("country_spec", "platform"),
    "ExchangeRates": Held("exchange_rate", "platform"),
    "TestClocks": Held("test_helpers.test_clock"),
    "TrialOffers": Held("product_catalog.trial_offer"),
    "ThreeDSecureAuthentications": Held("three_d_secure.authentication"),
    "TaxLocations": Held("tax.location"),
    "AppsInstalls": Held("apps.install"),
    "V2CoreAccounts": Held("v2.core.account"),
    "V2CoreAccountPersons": Held("v2.core.account_person"),
    "V2CoreEvents": Held("v2.core.event"),
    "V2CoreEventDestinations": Held("v2.core.event_destination"),
    "V2VaultGbBankAccounts": Held("v2.core.vault.gb_bank_account"),
    "V2VaultUsBankAccounts": Held("v2.core.vault.us_bank_account"),
    "V2ProductCatalogImports": Held("v2.commerce.product_catalog_import"),
    "V2Adjustments": Held("v2.money_management.adjustment"),
    "V2FinancialAccounts": Held("v2.money_management.financial_account"),
    "V2FinancialAddresses": Held("v2.money_management.financial_address"),
    "V2InboundTransfers": Held("v2.money_management.inbound_transfer"),
    "V2OutboundPayments": Held("v2.money_management.outbound_payment"),
    "V2OutboundSetupIntents": Held("v2.money_management.outbound_setup_intent"),
    "V2PayoutIntents": Held("v2.money_management.payout_intent"),
    "V2PayoutMethods": Held("v2.money_management.payout_method"),
    "V2ReceivedCredits": Held("v2.money_management.received_credit"),
    "V2Transactions": Held("v2.money_management.transaction"),
    "V2TransactionEntries": Held("v2.money_management.transaction_entry"),
}
ROWS = {each.NAME: each for each in STREAMS}
FURTHER = [each.NAME for each in STREAMS if issubclass(each, AccountObject)]
"""The streams that the reference catalogue lacks, except Discounts."""
ALL = [each.NAME for each in STREAMS if each.NAME not in ("UsageRecords", *FURTHER)]


def one_of_each(
    streams: Sequence[type[BaseStripeObject]], shape: Callable[[type[BaseStripeObject]], Hashable]
) -> list[type[BaseStripeObject]]:
    """The first stream of each shape. For tests that take a capture of each, where the code that they are
    about looks at nothing but what makes the shape."""
    return [*reversed({shape(row): row for row in reversed(streams)}.values())]


def rows(streams: Iterable[type[BaseStripeObject]] = STREAMS) -> list[Any]:
    """Streams as a test's parameters."""
    return [pytest.param(each, id=each.NAME) for each in streams]


THIN = [
    row.NAME
    for row in one_of_each(
        [row for row in STREAMS if row.THIN_EVENTS],
        lambda row: (row.PARENT, row.INCLUDES, row.LISTS_BY_CREATED),
    )
]
"""A stream of each shape that thin events can have."""
ONE_BY_ONE = [row for row in STREAMS if row.NAME not in FURTHER or row.NAME in THIN or not row.DISABLED]
"""The streams for which a test may take a capture each: the others are captured together."""
FIRST = KINDS.keys() - (
    {HELD[each].kind for each in FURTHER if each in HELD} - {HELD[each].kind for each in ALL if each in HELD}
) | {
    "tax_id",
    "source",
    "subscription_item",
    "issuing.card",
    "test_helpers.test_clock",
}

TOLD = [
    each
    for each in KINDS
    if each in FIRST and each not in ("account", "event", "item", "test_helpers.test_clock")
]
"""Kinds whose random changes Stripe tells of. Lines of a Checkout session come with it, never later."""


def populate(
    world: World, rng: Random, account: str, kinds: Collection[str] = FIRST, each: int = EACH
) -> None:
    """`each` objects of every kind of `kinds`, a day old, without events; children in unequal numbers, some
    far above ten."""
    for kind in KINDS.values():
        if kind.name in ("event", "account") or kind.name not in kinds:
            continue
        if kind.parent and kind.parent.kind == "account" and account == world.platform:
            continue
        parents = (
            [each["id"] for each in world.list_all(kind.parent.kind, account)[:4]]
            if kind.parent and kind.parent.kind != "account"
            else []
        )
        for number in range(each):
            fields: Json = {}
            if parents and kind.parent:
                fields[kind.parent.argument] = parents[0] if number % 2 else rng.choice(parents)
            world.create(kind.name, account, at=NOW - DAY + number // 3, event=False, **fields)


def pages(world: World, account: str, url: str) -> list[Json]:
    """All that the list at `url` answers to the account itself."""
    headers = {"authorization": f"Bearer {world.key}", "stripe-account": account}
    found: list[Json] = []
    path, _, query = url.partition("?")
    asked = [tuple(pair.split("=", 1)) for pair in query.split("&") if pair]
    while True:
        after = [("starting_after", found[-1]["id"])] if found else []
        answer = Api(world).answer(Request("GET", path, [*asked, ("limit", "100"), *after], headers))  # type: ignore[list-item]  # pairs
        page = orjson.loads(answer.body)
        found += page["data"]
        if not page["has_more"]:
            return found


def whole(world: World, account: str, found: Any) -> Any:
    """An object with the lists inside it complete."""
    if isinstance(found, list):
        return [whole(world, account, each) for each in found]
    if not isinstance(found, dict):
        return found
    if found.get("object") == "list" and found.get("has_more"):
        return found | {"data": pages(world, account, found["url"]), "has_more": False}
    return {key: whole(world, account, each) for key, each in found.items()}


def shown(world: World, stream: str, found: Json, account: str) -> Json:
    """An object as Stripe shows it when the row's expansions are asked for."""
    row, kind = ROWS[stream], HELD[stream].kind
    paths = [each.path for each in row.EXPANSIONS if "*" not in each.path and may_have(found, each)]
    if not paths:
        return found
    document = expanded(world, kind, found["id"], *paths, account=account)
    if keys := keyed_paths(document, row):
        document = expanded(world, kind, found["id"], *paths, *keys, account=account)
    return document


def without_needless(stream: str, document: Json) -> Json:
    """The document without the fields that an expansion adds as null, which events and unexpanded objects
    lack; and without the currencies of a line's price that is archived, which only Prices has."""
    document = orjson.loads(orjson.dumps(document))
    for each in ROWS[stream].EXPANSIONS:
        *path, name = each.path.split(".")
        container = get_path(document, ".".join(path)) if path else document
        if "*" in path or not isinstance(container, dict):
            continue
        is_archived = each.path == "price.currency_options" and not container["active"]
        if container.get(name) is None or is_archived:
            container.pop(name, None)
    return document


def is_refused_yet(world: World, kind: str, id: str, account: str) -> bool:
    """Whether the parent of an object does not show its children yet."""
    link = KINDS[kind].parent
    if link is None or link.refuses is None:
        return False
    parent = world.table(kind, account).by_id[id].parent
    return parent is not None and link.refuses(world.get(link.kind, parent, account), 1) is not None


def expected(
    world: World, stream: str, connected: bool, among: Sequence[str] | None = None
) -> dict[str, Json]:
    """The documents of a whole capture by id, or of the accounts `among` them."""
    held = HELD[stream]
    accounts = world.accounts if connected else [world.platform]
    if held.scope == "platform":
        accounts = [world.platform]
    elif held.scope == "connected":
        accounts = [each for each in world.accounts if each != world.platform]
    documents: dict[str, Json] = {}
    for account in accounts if among is None else [each for each in accounts if each in among]:
        kinds = [held.kind, *([held.also] if held.also else [])]
        for kind, found in [(name, each) for name in kinds for each in world.list_all(name, account)]:
            document = found
            if ROWS[stream].NOT_YET and is_refused_yet(world, kind, found["id"], account):
                continue
            if ROWS[stream].API == "v2":
                document = v2.shown(KINDS[kind], world.table(kind, account).by_id[found["id"]].whole())
            elif held.kind != "event":
                document = whole(world, account, shown(world, stream, found, account))
            if (field := ROWS[stream].CREATED) not in ("", "created"):
                document["created"] = document[field]
            if (field := ROWS[stream].PARENT_FIELD) and not held.parent_field:
                parent = world.table(kind, account).by_id[found["id"]].parent
                document = {field: parent, **document}
            documents[ROWS[stream].identity(document)] = without_needless(stream, without_secrets(document))
    return documents


def differences(
    capture: Capture,
    stream: str,
    connected: bool,
    *,
    changed: bool = False,
    among: Sequence[str] | None = None,
) -> str:
    """What a capture lacks, invents or has as it was before, of all accounts or of those `among` them."""
    held = HELD[stream]
    if changed and not connected and held.scope == "connected":
        return ""  # Only the accounts' own events tell, which a single account does not read: once a day.
    left = {held.parent_field, *(held.quiet if changed else ())}
    want = without(left, expected(capture.server.world, stream, connected, among))
    last = {
        key: without_needless(stream, unstamped(each))
        for key, each in capture.last_by_key(stream).items()
        if among is None or each["account_id"] in among
    }
    have = without(left, last)
    missing, extra = want.keys() - have.keys(), set() if held.kept else have.keys() - want.keys()
    stale = {key for key in want.keys() & have.keys() if want[key] != have[key]}
    if not (missing or extra or stale):
        return ""
    fields = {
        name
        for key in stale
        for name in want[key].keys() | have[key].keys()
        if want[key].get(name) != have[key].get(name)
    }
    return f"{stream}: {len(missing)} missing, {len(extra)} extra, {len(stale)} stale {sorted(fields)}"


def without(left: set[str], documents: dict[str, Json]) -> dict[str, Json]:
    return {
        key: {name: value for name, value in each.items() if name not in left}
        for key, each in documents.items()
    }


@pytest.mark.parametrize("connected", [False, True])
async def test_a_capture_of_everything_equals_the_world(
    world: World, server: StripeServer, connected: bool
) -> None:
    rng = Random(7)
    for account in (world.platform, world.connect(controller={"type": "application"})["id"]):
        populate(world, rng, account)
    capture = await Capture(server, streams=ALL, connected=connected).backfill()
    assert "\n".join(filter(None, (differences(capture, each, connected) for each in ALL))) == ""
    assert all(
        len(capture.last(each)) >= EACH for each in ALL if each not in ("Accounts", "Events", "Discounts")
    )

    for _ in range(CHANGES):
        world.random_change(rng, TOLD)
        world.clock.advance(rng.choice([0, 0, 1, 20]))
    await capture.catch_up()
    assert (
        "\n".join(filter(None, (differences(capture, each, connected, changed=True) for each in ALL))) == ""
    )
    assert refused(server) == []


def refused(server: StripeServer) -> list[Visit]:
    """Requests that the spec has no room for: unknown parameters, wrong paths."""
    return [
        each for each in server.journal if each.status == 400 or (each.status == 404 and not each.account)
    ]
