"""Discounts: no endpoint lists or returns them. The objects that have one show it when they are asked to."""

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from source_stripe_native.streams.billing import InvoiceItems, Invoices, Subscriptions
from source_stripe_native.streams.customers import Customers
from source_stripe_native.streams.row import BaseStripeObject, Embedding, ops


class Discounts(BaseStripeObject):
    NAME = "Discounts"
    SEARCH_NAME = ""
    # And those of the other containers.
    PERMISSION = Subscriptions.PERMISSION
    # Before this version a discount has no id.
    SINCE_VERSION = "2020-08-27"
    CREATED = "start"
    RETRIEVE = ""
    # A discount that was removed is still on the invoices that it was applied to.
    EVENT_TYPES = ops("customer.discount.created", "customer.discount.updated customer.discount.deleted")
    EMBEDDINGS: ClassVar[Mapping[str, Embedding]] = {
        # A subscription's discount names the customer too: it is the subscription that shows it.
        "_subscriptions": Embedding(
            Subscriptions,
            ("discounts.*", "items.data.*.discounts.*"),
            tuple(Subscriptions.EVENT_TYPES),
            named_by="subscription",
        ),
        "_customers": Embedding(Customers, ("discount",), tuple(Customers.EVENT_TYPES), named_by="customer"),
        "_invoices": Embedding(
            Invoices,
            ("discounts.*", "lines.data.*.discounts.*"),
            ("invoice.created", "invoice.updated", "invoice.finalized"),
            created_with_container=True,
        ),
        "_invoiceitems": Embedding(
            InvoiceItems, ("discounts.*",), ("invoiceitem.created",), created_with_container=True
        ),
    }
    VARIANTS: ClassVar[Mapping[str, Mapping[str, str]]] = {
        suffix: dict(embedding.stream.list_params()) for suffix, embedding in EMBEDDINGS.items()
    }

    found_in: dict[str, Any] | None = Field(
        default_factory=lambda: None,
        description="The object that showed the discount last: its `object` and its `id`.",
    )
