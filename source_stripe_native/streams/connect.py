"""Connect: accounts and what belongs to them."""

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from source_stripe_native.errors import NO_PLATFORM_CONTROLS, NOT_A_PLATFORM, PARENT_GONE
from source_stripe_native.streams.row import (
    DAILY,
    AccountObject,
    BaseStripeObject,
    BaseStripeObjectWithEvents,
    RelatedEvents,
    ops,
)

EXTERNAL_ACCOUNT_EVENTS = (
    "account.external_account.created",
    "account.external_account.updated",
    "account.external_account.deleted",
)

_BARRED = (PARENT_GONE, NO_PLATFORM_CONTROLS, NOT_A_PLATFORM)


class Accounts(BaseStripeObject):
    NAME = "Accounts"
    SEARCH_NAME = "accounts"
    # Creation, deletion and rejection have no event.
    SCHEDULE = DAILY
    PERMISSION = "Connect: Accounts"
    PER_ACCOUNT = False
    ARE_ACCOUNTS = True
    UNDATED = True
    UNLISTED = "account"
    # Such an account has no list of others: it is the only one.
    LIST_ENDS = (NOT_A_PLATFORM,)
    EVENT_TYPES = ops(u="account.updated")
    RELATED_EVENTS = (RelatedEvents((*EXTERNAL_ACCOUNT_EVENTS, "capability.updated"), ids=("account",)),)
    POLLS = True
    NESTED = ("external_accounts",)

    created: int = Field(default_factory=int)


class Persons(BaseStripeObject):
    NAME = "Persons"
    SEARCH_NAME = "accounts/{parent}/persons"
    SCHEDULE = DAILY
    PERMISSION = "Connect: Accounts"
    LISTS_BY_CREATED = False
    RETRIEVE = "accounts/{account}/persons/{id}"
    EVENT_TYPES = ops("person.created", "person.updated", "person.deleted")
    PARENT = Accounts
    PARENT_BARS: ClassVar[Mapping[str, str]] = {
        "controller.type": "account",
        "controller.requirement_collection": "stripe",
    }
    TOLERATED = _BARRED


class _ExternalAccounts(BaseStripeObject):
    SEARCH_NAME = "accounts/{parent}/external_accounts"
    SCHEDULE = DAILY
    PERMISSION = "Connect: Accounts"
    CREATED = ""
    LISTS_BY_CREATED = False
    RETRIEVE = "accounts/{account}/external_accounts/{id}"
    EVENT_TYPES = ops(*EXTERNAL_ACCOUNT_EVENTS)
    PARENT = Accounts
    TOLERATED = _BARRED
    EMBEDDED = "external_accounts"


class ExternalAccountCards(_ExternalAccounts):
    EMBEDDED_OBJECT = "card"
    NAME = "ExternalAccountCards"
    VARIANTS: ClassVar[Mapping[str, Mapping[str, str]]] = {"": {"object": "card"}}
    EVENT_OBJECT = "card"


class ExternalBankAccount(_ExternalAccounts):
    EMBEDDED_OBJECT = "bank_account"
    NAME = "ExternalBankAccount"
    VARIANTS: ClassVar[Mapping[str, Mapping[str, str]]] = {"": {"object": "bank_account"}}
    EVENT_OBJECT = "bank_account"


class Capabilities(AccountObject):
    # Its id is the capability's name.
    NAME = "Capabilities"
    SEARCH_NAME = "accounts/{parent}/capabilities"
    KEY: ClassVar[list[str]] = ["/account", "/id"]
    PERMISSION = "Connect: Accounts"
    CREATED = ""
    LISTS_BY_CREATED = False
    PAGED = False
    RETRIEVE = "accounts/{account}/capabilities/{id}"
    EVENT_TYPES = ops(u="capability.updated")
    # The events of connected accounts are read only where these are captured.
    SNAPSHOTS = True
    PARENT = Accounts
    TOLERATED = _BARRED

    account: str


class ApplicationFees(BaseStripeObjectWithEvents):
    NAME = "ApplicationFees"
    SEARCH_NAME = "application_fees"
    PERMISSION = "Application Fees"
    EVENT_TYPES = ops("application_fee.created", "application_fee.refunded")
    RELATED_EVENTS = (RelatedEvents(("application_fee.refund.updated",), ids=("fee",)),)
    NESTED = ("refunds",)


class ApplicationFeesRefunds(BaseStripeObject):
    NAME = "ApplicationFeesRefunds"
    SEARCH_NAME = "application_fees/{parent}/refunds"
    PERMISSION = "Application Fees"
    LISTS_BY_CREATED = False
    RETRIEVE = "application_fees/{fee}/refunds/{id}"
    EVENT_TYPES = ops(u="application_fee.refund.updated")
    PARENT = ApplicationFees
    PARENT_EVENT_TYPES = ("application_fee.refunded",)
    EMBEDDED = "refunds"
