"""Treasury: financial accounts and the money that moves in and out. Only accounts with the product have
these."""

from collections.abc import Mapping
from typing import ClassVar

from source_stripe_native.streams.row import DatedAccountObject, RelatedEvents, ops


class _Treasury(DatedAccountObject):
    PRODUCT = "treasury"
    # Whether the bare list has closed accounts is not documented.
    VARIANTS: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "_open": {"status": "open"},
        "_closed": {"status": "closed"},
    }


class TreasuryFinancialAccounts(_Treasury):
    NAME = "TreasuryFinancialAccounts"
    SEARCH_NAME = "treasury/financial_accounts"
    PERMISSION = "Treasury: Financial accounts"
    EVENT_TYPES = ops(
        "treasury.financial_account.created",
        "treasury.financial_account.closed treasury.financial_account.features_status_updated",
    )
    # The balance changes without an event.
    SNAPSHOTS = True


class _OfFinancialAccount(_Treasury):
    LISTS_BY_CREATED = False
    VARIANTS_OF_PARENT = True
    PARENT = TreasuryFinancialAccounts
    PARENT_PARAM = "financial_account"
    # An account that is closed while a backfill reads the one part of their list may be missed in both.
    PARENT_EVENT_TYPES = ("treasury.financial_account.closed",)


class TreasuryCreditReversals(_OfFinancialAccount):
    NAME = "TreasuryCreditReversals"
    SEARCH_NAME = "treasury/credit_reversals"
    PERMISSION = "Treasury: Credit reversals"
    EVENT_TYPES = ops("treasury.credit_reversal.created", "treasury.credit_reversal.posted")


class TreasuryDebitReversals(_OfFinancialAccount):
    NAME = "TreasuryDebitReversals"
    SEARCH_NAME = "treasury/debit_reversals"
    PERMISSION = "Treasury: Debit reversals"
    EVENT_TYPES = ops(
        "treasury.debit_reversal.created",
        "treasury.debit_reversal.completed treasury.debit_reversal.initial_credit_granted",
    )


class TreasuryInboundTransfers(_OfFinancialAccount):
    NAME = "TreasuryInboundTransfers"
    SEARCH_NAME = "treasury/inbound_transfers"
    PERMISSION = "Treasury: Inbound transfers"
    EVENT_TYPES = ops(
        "treasury.inbound_transfer.created",
        "treasury.inbound_transfer.canceled treasury.inbound_transfer.failed "
        "treasury.inbound_transfer.succeeded",
    )


class TreasuryOutboundPayments(_OfFinancialAccount):
    NAME = "TreasuryOutboundPayments"
    SEARCH_NAME = "treasury/outbound_payments"
    PERMISSION = "Treasury: Outbound payments"
    LISTS_BY_CREATED = True
    EVENT_TYPES = ops(
        "treasury.outbound_payment.created",
        "treasury.outbound_payment.canceled treasury.outbound_payment.expected_arrival_date_updated "
        "treasury.outbound_payment.failed treasury.outbound_payment.posted "
        "treasury.outbound_payment.returned treasury.outbound_payment.tracking_details_updated",
    )


class TreasuryOutboundTransfers(_OfFinancialAccount):
    NAME = "TreasuryOutboundTransfers"
    SEARCH_NAME = "treasury/outbound_transfers"
    PERMISSION = "Treasury: Outbound transfers"
    EVENT_TYPES = ops(
        "treasury.outbound_transfer.created",
        "treasury.outbound_transfer.canceled treasury.outbound_transfer.expected_arrival_date_updated "
        "treasury.outbound_transfer.failed treasury.outbound_transfer.posted "
        "treasury.outbound_transfer.returned treasury.outbound_transfer.tracking_details_updated",
    )


class TreasuryReceivedCredits(_OfFinancialAccount):
    NAME = "TreasuryReceivedCredits"
    SEARCH_NAME = "treasury/received_credits"
    PERMISSION = "Treasury: Received credits"
    EVENT_TYPES = ops(
        "treasury.received_credit.created",
        "treasury.received_credit.failed treasury.received_credit.succeeded",
    )


class TreasuryReceivedDebits(_OfFinancialAccount):
    NAME = "TreasuryReceivedDebits"
    SEARCH_NAME = "treasury/received_debits"
    PERMISSION = "Treasury: Received debits"
    EVENT_TYPES = ops("treasury.received_debit.created")
    # Its reversal has an event, which names it.
    RELATED_EVENTS = (RelatedEvents(tuple(TreasuryDebitReversals.EVENT_TYPES), ids=("received_debit",)),)


class TreasuryTransactions(_OfFinancialAccount):
    NAME = "TreasuryTransactions"
    SEARCH_NAME = "treasury/transactions"
    PERMISSION = "Treasury: Transactions"
    LISTS_BY_CREATED = True
    SNAPSHOTS = True
    NESTED = ("entries",)


class TreasuryTransactionEntries(_OfFinancialAccount):
    NAME = "TreasuryTransactionEntries"
    SEARCH_NAME = "treasury/transaction_entries"
    PERMISSION = "Treasury: Transactions"
    LISTS_BY_CREATED = True
    SNAPSHOTS = True
