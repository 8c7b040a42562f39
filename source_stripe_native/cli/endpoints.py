"""Which event types a capture needs posts of, and what an endpoint in Stripe posts.

Whether an endpoint posts the events of connected accounts is in no field that Stripe shows.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from logging import Logger
from typing import Final

from source_stripe_native.errors import StripeError
from source_stripe_native.streams.arrangements import WebhookEndpoints
from source_stripe_native.streams.row import PREVIEW, BaseStripeObject
from source_stripe_native.stripe.client import StripeSession
from source_stripe_native.stripe.pages import Source, read_pages

ALL: Final = "*"
NOT_POSTED: Final = frozenset({"invoiceitem.updated", "payment_intent.updated", "promotion_code.deleted"})
"""Types that rows follow and no endpoint can ask for: today's versions of Stripe do not have them."""


@dataclass(frozen=True)
class Endpoint:
    """An endpoint of an address: whether it is enabled, and the types that it does not post and the streams
    need."""

    endpoint_id: str
    is_enabled: bool
    missing: Sequence[str] = field(default_factory=list)

    def words(self) -> str:
        state = "enabled" if self.is_enabled else "disabled in Stripe"
        posts = (
            f"does not post {', '.join(self.missing)}" if self.missing else "posts all types that are needed"
        )
        return f"{self.endpoint_id} is {state} and {posts}"


def needed_types(streams: Iterable[type[BaseStripeObject]]) -> list[str]:
    """The event types that `streams` follow, `*` alone where one of them follows all."""
    wanted = list(streams)
    if any(each.IS_EVENT for each in wanted):
        return [ALL]
    return sorted(frozenset[str]().union(*(each.all_event_types() for each in wanted)) - PREVIEW - NOT_POSTED)


async def endpoints_at(
    url: str, http: StripeSession, log: Logger, streams: Iterable[type[BaseStripeObject]]
) -> list[Endpoint] | str:
    """The endpoints of an address, or why they cannot be read."""
    needed, source = needed_types(streams), Source(http, log, WebhookEndpoints, None, None)
    found = []
    try:
        async for page in read_pages(source, WebhookEndpoints.list_path(), []):
            for obj in page.objects:
                if str(obj.get("url", "")).rstrip("/") == url.rstrip("/"):
                    posted = obj.get("enabled_events") or []
                    missing = [] if ALL in posted else [each for each in needed if each not in posted]
                    found.append(Endpoint(obj["id"], obj.get("status") == "enabled", missing))
    except StripeError as error:
        return error.answer
    return found
