"""Financial Connections: bank accounts that customers linked. Only accounts with the product have these."""

from collections.abc import Mapping
from typing import ClassVar

from source_stripe_native.errors import NOTHING_REFRESHED
from source_stripe_native.streams.row import AccountObject, DatedAccountObject, NotYet, ops, preview_events


class FinancialConnectionsAccounts(DatedAccountObject):
    NAME = "FinancialConnectionsAccounts"
    SEARCH_NAME = "financial_connections/accounts"
    PERMISSION = "Financial Connections: Accounts"
    PRODUCT = "financial_connections"
    LISTS_BY_CREATED = False
    NESTED = ("ownership.owners",)
    EVENT_TYPES = ops(
        "financial_connections.account.created",
        " ".join(
            f"financial_connections.account.{change}"
            for change in (
                "account_numbers_updated",
                "deactivated",
                "disconnected",
                "expected_deactivation_date_updated",
                "reactivated",
                "refreshed_balance",
                "refreshed_ownership",
                "refreshed_transactions",
                "supported_payment_method_types_updated",
                "upcoming_account_number_expiry",
                "upcoming_deactivation",
            )
        ),
    )
    RELATED_EVENTS = (preview_events("financial_connections.account."),)


class FinancialConnectionsTransactions(AccountObject):
    NAME = "FinancialConnectionsTransactions"
    SEARCH_NAME = "financial_connections/transactions"
    PERMISSION = "Financial Connections: Transactions"
    PRODUCT = "financial_connections"
    CREATED = ""
    LISTS_BY_CREATED = False
    PARENT = FinancialConnectionsAccounts
    PARENT_PARAM = "account"
    PARENT_EVENT_TYPES = ("financial_connections.account.refreshed_transactions",)
    NOT_YET = NotYet(
        NOTHING_REFRESHED,
        "transaction_refresh.status",
        "succeeded",
        "financial_connections.account.refreshed_transactions",
    )


class FinancialConnectionsAccountOwners(AccountObject):
    # Its ownership is the account's `ownership`.
    NAME = "FinancialConnectionsAccountOwners"
    SEARCH_NAME = "financial_connections/accounts/{parent}/owners"
    PERMISSION = "Financial Connections: Accounts"
    PRODUCT = "financial_connections"
    CREATED = ""
    LISTS_BY_CREATED = False
    PARENT = FinancialConnectionsAccounts
    PARENT_QUERY: ClassVar[Mapping[str, str]] = {"ownership": "ownership"}
    PARENT_FIELD = "account"
    PARENT_EVENT_TYPES = ("financial_connections.account.refreshed_ownership",)
