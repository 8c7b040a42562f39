"""Offers: payment links, quotes, shipping rates and trial offers."""

from source_stripe_native.streams.payments import CheckoutSessionsLine
from source_stripe_native.streams.row import (
    ACTIVE,
    AccountObject,
    DatedAccountObject,
    Expansion,
    ops,
    preview_events,
)


class PaymentLinks(AccountObject):
    NAME = "PaymentLinks"
    SEARCH_NAME = "payment_links"
    DISABLED = False
    PERMISSION = "Payment Links"
    VARIANTS = ACTIVE
    CREATED = ""
    LISTS_BY_CREATED = False
    EVENT_TYPES = ops("payment_link.created", "payment_link.updated")
    NESTED = ("line_items",)
    EXPANSIONS = (Expansion("optional_items"),)


class PaymentLinkLineItems(AccountObject):
    NAME = "PaymentLinkLineItems"
    SEARCH_NAME = "payment_links/{parent}/line_items"
    DISABLED = False
    PERMISSION = "Payment Links"
    VARIANTS = PaymentLinks.VARIANTS
    VARIANTS_OF_PARENT = True
    CREATED = ""
    LISTS_BY_CREATED = False
    EXPANSIONS = CheckoutSessionsLine.EXPANSIONS
    PARENT = PaymentLinks
    PARENT_FIELD = "payment_link"
    PARENT_EVENT_TYPES = tuple(PaymentLinks.EVENT_TYPES)
    EMBEDDED = "line_items"
    EMBEDDED_EXPANDED = True


class Quotes(DatedAccountObject):
    NAME = "Quotes"
    SEARCH_NAME = "quotes"
    DISABLED = False
    BY_TEST_CLOCK = True
    PERMISSION = "Quotes"
    LISTS_BY_CREATED = False
    EVENT_TYPES = ops("quote.created", "quote.accepted quote.canceled quote.finalized")
    RELATED_EVENTS = (preview_events("quote."),)
    # A draft is edited without an event, and a quote expires without one.
    SNAPSHOTS = True
    NESTED = ("line_items", "computed.upfront.line_items")
    EXPANSIONS = (Expansion("total_details.breakdown", ("total_details",)),)


class _QuoteLines(AccountObject):
    PERMISSION = "Quotes"
    CREATED = ""
    LISTS_BY_CREATED = False
    EXPANSIONS = CheckoutSessionsLine.EXPANSIONS
    PARENT = Quotes
    PARENT_FIELD = "quote"
    PARENT_EVENT_TYPES = tuple(Quotes.EVENT_TYPES)
    SNAPSHOTS = True
    SHOWS_DELETIONS = True


class QuoteLineItems(_QuoteLines):
    NAME = "QuoteLineItems"
    SEARCH_NAME = "quotes/{parent}/line_items"
    DISABLED = False
    EMBEDDED = "line_items"
    EMBEDDED_EXPANDED = True


class QuoteComputedUpfrontLineItems(_QuoteLines):
    NAME = "QuoteComputedUpfrontLineItems"
    SEARCH_NAME = "quotes/{parent}/computed_upfront_line_items"
    # A line of the quote may be one of these too. A list of quotes cannot be asked for the lines' discounts:
    # they lie too deep.


class ShippingRates(DatedAccountObject):
    NAME = "ShippingRates"
    SEARCH_NAME = "shipping_rates"
    DISABLED = False
    PERMISSION = "Shipping Rates"
    VARIANTS = ACTIVE
    SNAPSHOTS = True
    EXPANSIONS = (Expansion("fixed_amount.currency_options", ("fixed_amount",)),)


class TrialOffers(AccountObject):
    NAME = "TrialOffers"
    SEARCH_NAME = "product_catalog/trial_offers"
    PERMISSION = "Trial offers"
    SINCE_VERSION = "2026-09-30"
    # The list takes a creation time that the object does not have. Archived ones are in it too.
    CREATED = ""
    LISTS_BY_CREATED = False
    SNAPSHOTS = True
