"""Issuing: cards that the account issues. Only accounts with the product have these."""

from source_stripe_native.streams.row import (
    AccountObject,
    BaseStripeObjectWithEvents,
    DatedAccountObject,
    Expansion,
    RelatedEvents,
    ops,
)


class _Issuing(BaseStripeObjectWithEvents):
    PRODUCT = "issuing"


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


class IssuingCards(DatedAccountObject):
    # Number and security code are shown only when asked for, and nobody asks for them.
    NAME = "IssuingCards"
    SEARCH_NAME = "issuing/cards"
    DISABLED = False
    PERMISSION = "Issuing: Cards"
    PRODUCT = "issuing"
    EVENT_TYPES = ops("issuing_card.created", "issuing_card.updated")


class IssuingDisputes(DatedAccountObject):
    NAME = "IssuingDisputes"
    SEARCH_NAME = "issuing/disputes"
    PERMISSION = "Issuing: Disputes"
    PRODUCT = "issuing"
    EVENT_TYPES = ops(
        "issuing_dispute.created",
        "issuing_dispute.closed issuing_dispute.funds_reinstated issuing_dispute.funds_rescinded "
        "issuing_dispute.submitted issuing_dispute.updated",
    )
    EXPANSIONS = (Expansion("balance_transactions"),)


class IssuingPersonalizationDesigns(DatedAccountObject):
    NAME = "IssuingPersonalizationDesigns"
    SEARCH_NAME = "issuing/personalization_designs"
    PERMISSION = "Issuing: Personalization designs"
    PRODUCT = "issuing"
    LISTS_BY_CREATED = False
    EVENT_TYPES = ops(
        u="issuing_personalization_design.activated issuing_personalization_design.deactivated "
        "issuing_personalization_design.rejected issuing_personalization_design.updated"
    )
    # No event tells that a design was made.
    SNAPSHOTS = True


class IssuingPhysicalBundles(AccountObject):
    NAME = "IssuingPhysicalBundles"
    SEARCH_NAME = "issuing/physical_bundles"
    PERMISSION = "Issuing: Physical bundles"
    PRODUCT = "issuing"
    CREATED = ""
    LISTS_BY_CREATED = False
    SNAPSHOTS = True


class IssuingTokens(DatedAccountObject):
    NAME = "IssuingTokens"
    SEARCH_NAME = "issuing/tokens"
    PERMISSION = "Issuing: Tokens"
    PRODUCT = "issuing"
    EVENT_TYPES = ops("issuing_token.created", "issuing_token.updated")
    PARENT = IssuingCards
    PARENT_PARAM = "card"
