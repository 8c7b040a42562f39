"""Inline prices: made by a request that sells something at a price of its own. No list has them, but each
can be read by its id, and what was sold shows it."""

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from source_stripe_native.streams.billing import Invoices, Subscriptions
from source_stripe_native.streams.payments import CheckoutSessions
from source_stripe_native.streams.products import Prices
from source_stripe_native.streams.row import DatedAccountObject, Embedding


class InlinePrices(DatedAccountObject):
    NAME = "InlinePrices"
    SEARCH_NAME = ""
    # And those of all containers.
    PERMISSION = "Prices"
    RETRIEVE = "prices/{id}"
    LISTED_IN = Prices
    LISTED_BY = "product"
    # A price that is not active is inline, or archived.
    LISTED_IF = "active"
    EMBEDDINGS: ClassVar[Mapping[str, Embedding]] = {
        "_subscriptions": Embedding(
            Subscriptions, ("items.data.*.price",), tuple(Subscriptions.EVENT_TYPES), expand=()
        ),
        "_invoices": Embedding(
            Invoices,
            # Until API version 2025-03-31 a line shows its price.
            ("lines.data.*.pricing.price_details.price", "lines.data.*.price"),
            ("invoice.created", "invoice.updated", "invoice.finalized"),
            expand=(),
            read_at="prices",
        ),
        "_sessions": Embedding(
            CheckoutSessions,
            ("line_items.data.*.price",),
            tuple(CheckoutSessions.EVENT_TYPES),
            expand=("line_items",),
        ),
    }
    VARIANTS: ClassVar[Mapping[str, Mapping[str, str]]] = {
        suffix: dict(embedding.stream.list_params()) for suffix, embedding in EMBEDDINGS.items()
    }

    found_in: dict[str, Any] | None = Field(
        default_factory=lambda: None,
        description="The object that showed the price last: its `object` and its `id`.",
    )
