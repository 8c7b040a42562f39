"""Lists of Stripe's API v2: accounts and their persons, events and their destinations, bank accounts in the
vault, imports of catalogues, and Money Management.

Such a list names the address of its next page. Its times are text. An event names the object that changed and
does not carry it.
"""

from collections.abc import Mapping
from typing import ClassVar

from source_stripe_native.streams.row import AccountObject, TimeRange


class _Object(AccountObject):
    API = "v2"
    SINCE_VERSION = "2026-08-26"
    LISTS_BY_CREATED = False
    CREATED_IN = TimeRange(as_text=True)

    created: str


class V2CoreEvents(_Object):
    NAME = "V2CoreEvents"
    SEARCH_NAME = "core/events"
    PERMISSION = "Events"
    LISTS_BY_CREATED = True
    # An event never changes.
    POLLS = True


class _Named(_Object):
    """What thin events name."""

    THIN_EVENTS_IN = V2CoreEvents
    POLLS = True


class V2CoreAccounts(_Named):
    NAME = "V2CoreAccounts"
    SEARCH_NAME = "core/accounts"
    PERMISSION = "Accounts v2"
    PRODUCT = "v2 accounts"
    # Without the filter only open ones are listed.
    VARIANTS: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "_open": {"closed": "false"},
        "_closed": {"closed": "true"},
    }
    INCLUDES = (
        "configuration.customer",
        "configuration.merchant",
        "configuration.recipient",
        "defaults",
        "future_requirements",
        "identity",
        "requirements",
    )
    LISTS_INCLUDED = False
    THIN_EVENTS = (
        "v2.core.account.closed",
        "v2.core.account.created",
        "v2.core.account.updated",
        "v2.core.account[configuration.customer].capability_status_updated",
        "v2.core.account[configuration.customer].updated",
        "v2.core.account[configuration.merchant].capability_status_updated",
        "v2.core.account[configuration.merchant].updated",
        "v2.core.account[configuration.recipient].capability_status_updated",
        "v2.core.account[configuration.recipient].updated",
        "v2.core.account[defaults].updated",
        "v2.core.account[future_requirements].updated",
        "v2.core.account[identity].updated",
        "v2.core.account[requirements].updated",
    )


class V2CoreAccountPersons(_Named):
    NAME = "V2CoreAccountPersons"
    SEARCH_NAME = "core/accounts/{parent}/persons"
    PERMISSION = "Accounts v2"
    PRODUCT = "v2 accounts"
    VARIANTS = V2CoreAccounts.VARIANTS
    VARIANTS_OF_PARENT = True
    RETRIEVE = "core/accounts/{account}/persons/{id}"
    PARENT = V2CoreAccounts
    THIN_EVENTS = (
        "v2.core.account_person.created",
        "v2.core.account_person.deleted",
        "v2.core.account_person.updated",
    )


class V2CoreEventDestinations(_Object):
    NAME = "V2CoreEventDestinations"
    SEARCH_NAME = "core/event_destinations"
    PERMISSION = "Event destinations"
    INCLUDES = ("webhook_endpoint.url",)
    SNAPSHOTS = True
    SHOWS_DELETIONS = True


class _BankAccounts(_Object):
    PERMISSION = "Vault bank accounts"
    PRODUCT = "money management"
    SINCE_VERSION = "2026-10-28"
    SNAPSHOTS = True


class V2VaultGbBankAccounts(_BankAccounts):
    NAME = "V2VaultGbBankAccounts"
    SEARCH_NAME = "core/vault/gb_bank_accounts"


class V2VaultUsBankAccounts(_BankAccounts):
    NAME = "V2VaultUsBankAccounts"
    SEARCH_NAME = "core/vault/us_bank_accounts"


class V2ProductCatalogImports(_Object):
    NAME = "V2ProductCatalogImports"
    SEARCH_NAME = "commerce/product_catalog/imports"
    PERMISSION = "Product catalog imports"
    PRODUCT = "product catalog imports"
    LISTS_BY_CREATED = True
    SNAPSHOTS = True


class _Money(_Object):
    PERMISSION = "Money Management"
    PRODUCT = "money management"
    SINCE_VERSION = "2026-10-28"


def _thin(name: str, changes: str) -> tuple[str, ...]:
    return tuple(f"v2.money_management.{name}.{change}" for change in changes.split())


class V2Adjustments(_Money):
    NAME = "V2Adjustments"
    SEARCH_NAME = "money_management/adjustments"
    LISTS_BY_CREATED = True
    # An adjustment never changes.
    POLLS = True


class V2FinancialAccounts(_Money):
    # Its balance changes without an event.
    NAME = "V2FinancialAccounts"
    SEARCH_NAME = "money_management/financial_accounts"
    INCLUDES = ("storage.deposit_insurance_eligibility",)
    SNAPSHOTS = True


class V2FinancialAddresses(_Money):
    NAME = "V2FinancialAddresses"
    SEARCH_NAME = "money_management/financial_addresses"
    SNAPSHOTS = True


class V2InboundTransfers(_Money, _Named):
    NAME = "V2InboundTransfers"
    SEARCH_NAME = "money_management/inbound_transfers"
    LISTS_BY_CREATED = True
    THIN_EVENTS = _thin(
        "inbound_transfer",
        "available bank_debit_failed bank_debit_processing bank_debit_queued bank_debit_returned "
        "bank_debit_succeeded",
    )


class V2OutboundPayments(_Money, _Named):
    NAME = "V2OutboundPayments"
    SEARCH_NAME = "money_management/outbound_payments"
    LISTS_BY_CREATED = True
    THIN_EVENTS = _thin("outbound_payment", "canceled created failed posted returned under_review updated")


class V2OutboundSetupIntents(_Money):
    NAME = "V2OutboundSetupIntents"
    SEARCH_NAME = "money_management/outbound_setup_intents"
    SNAPSHOTS = True


class V2PayoutIntents(_Money, _Named):
    NAME = "V2PayoutIntents"
    SEARCH_NAME = "money_management/payout_intents"
    THIN_EVENTS = _thin("payout_intent", "canceled created pending posted processing requires_action updated")


class V2PayoutMethods(_Money, _Named):
    NAME = "V2PayoutMethods"
    SEARCH_NAME = "money_management/payout_methods"
    THIN_EVENTS = _thin("payout_method", "created updated")


class V2ReceivedCredits(_Money, _Named):
    NAME = "V2ReceivedCredits"
    SEARCH_NAME = "money_management/received_credits"
    LISTS_BY_CREATED = True
    THIN_EVENTS = _thin("received_credit", "available failed returned succeeded")


class V2Transactions(_Money, _Named):
    NAME = "V2Transactions"
    SEARCH_NAME = "money_management/transactions"
    LISTS_BY_CREATED = True
    THIN_EVENTS = _thin("transaction", "created updated")


class V2TransactionEntries(_Money):
    NAME = "V2TransactionEntries"
    SEARCH_NAME = "money_management/transaction_entries"
    LISTS_BY_CREATED = True
    # An entry never changes.
    POLLS = True


STREAMS: list[type[AccountObject]] = [
    V2CoreAccounts,
    V2CoreAccountPersons,
    V2CoreEvents,
    V2CoreEventDestinations,
    V2VaultGbBankAccounts,
    V2VaultUsBankAccounts,
    V2ProductCatalogImports,
    V2Adjustments,
    V2FinancialAccounts,
    V2FinancialAddresses,
    V2InboundTransfers,
    V2OutboundPayments,
    V2OutboundSetupIntents,
    V2PayoutIntents,
    V2PayoutMethods,
    V2ReceivedCredits,
    V2Transactions,
    V2TransactionEntries,
]
