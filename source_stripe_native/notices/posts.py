"""What a post says: that an account has an event. Pure.

Rule: a post is a notice, never data. Nothing of it becomes a document; it decides only when an account is
read.

Stripe posts snapshot events (`object` is `event`) and thin events (`v2.core.event`). Of a connected account
the first name it as `account`, the others as the end of `context`, which is a path of accounts."""

import math
from contextlib import suppress
from dataclasses import dataclass

import orjson

from source_stripe_native.streams.event_types import current_type

THIN_PREFIX = "v1."
"""What the type of a thin event has before the type of the snapshot event."""
V2_PREFIX = "v2."
"""What the types of API v2 begin with. Its events stand in a list of their own, which is polled."""


@dataclass(frozen=True)
class Notice:
    """`account_id` is None for the account that the endpoint belongs to. A thin event does not say when it
    was `created` in Unix seconds: it counts as new."""

    event_id: str
    type: str
    account_id: str | None
    is_live: bool
    created: float = math.inf


def notice_of(body: bytes) -> Notice | None:
    """The notice in the body of a post, None where the body is no event."""
    try:
        event = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(event, dict):
        return None
    # `user_id` in API versions before 2017-05-25, `context` of a thin event.
    account = event.get("account") or event.get("user_id") or event.get("context") or None
    event_id, kind, is_live = event.get("id"), event.get("type"), event.get("livemode")
    if not (isinstance(event_id, str) and isinstance(kind, str) and isinstance(is_live, bool)):
        return None
    if account is not None and not isinstance(account, str):
        return None
    kind = kind.removeprefix(THIN_PREFIX)
    with suppress(KeyError, TypeError, AttributeError):
        kind = current_type({**event, "type": kind})
    created = event.get("created")
    at = created if isinstance(created, int) else math.inf
    return Notice(event_id, kind, account and account.rpartition("/")[2], is_live, at)
