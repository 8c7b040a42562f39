"""Issuing: cards that the account issues. Only accounts with the product have these."""

from source_stripe_native.streams.row import BaseStripeObjectWithEvents, Expansion, RelatedEvents, ops


class _Issuing(BaseStripeObjectWithEvents):
    GATED = True


class Authorizations(_Issuing):
    NAME = "Authorizations"
    SEARCH_NAME = "issuing/authorizations"
    PERMISSION = "Issuing: Authorizations"
    EVENT_TYPES = ops("issuing_authorization.created", "issuing_authorization.updated")
    RELATED_EVENTS = (
        RelatedEvents(("issuing_transaction.created", "issuing_transaction.updated"), ids=("authorization",)),
    )


class CardHolders(_Issuing):
    NAME = "CardHolders"
    SEARCH_NAME = "issuing/cardholders"
    PERMISSION = "Issuing: Cardholders"
    EVENT_TYPES = ops("issuing_cardholder.created", "issuing_cardholder.updated")


class Transactions(_Issuing):
    NAME = "Transactions"
    SEARCH_NAME = "issuing/transactions"
    PERMISSION = "Issuing: Transactions"
    EVENT_TYPES = ops(
        "issuing_transaction.created",
        "issuing_transaction.updated issuing_transaction.purchase_details_receipt_updated",
    )
    EXPANSIONS = (Expansion("purchase_details"),)
