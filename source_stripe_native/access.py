"""Which streams this key can read, found out before anything is captured: all probes run at once, one request
each. A permission that a restricted key lacks is named as Stripe's dashboard calls it."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from logging import Logger

from source_stripe_native.errors import PERMISSION_MISSING, ConnectorError, StripeError
from source_stripe_native.http import StripeSession
from source_stripe_native.models import EVENTS_PATH, EVENTS_PERMISSION, BaseStripeObject


@dataclass(frozen=True)
class Access:
    """`readable` streams, in the order asked for, and the reason for each one that is `denied`, by name."""

    readable: list[type[BaseStripeObject]]
    denied: dict[str, str]


async def probe(http: StripeSession, log: Logger, streams: Iterable[type[BaseStripeObject]]) -> Access:
    """Asks for one object of each stream. Raises ConnectorError where the key may not read events, without
    which no stream could follow changes, and whatever else Stripe answers but a missing permission."""
    streams = list(streams)
    events, *reasons = await asyncio.gather(
        _denial(http, log, EVENTS_PATH, EVENTS_PERMISSION),
        *(_denial(http, log, f"/v1/{each.SEARCH_NAME}", each.PERMISSION) for each in streams),
    )
    if events is not None:
        raise ConnectorError(f"Changes cannot be captured: {events}")
    denied = {each.NAME: reason for each, reason in zip(streams, reasons, strict=True) if reason is not None}
    return Access([each for each in streams if each.NAME not in denied], denied)


async def _denial(http: StripeSession, log: Logger, path: str, permission: str) -> str | None:
    """Why the list at `path` cannot be read, None where it can."""
    try:
        await http.get(log, path, [("limit", "1")])
    except StripeError as error:
        if not PERMISSION_MISSING.matches(error):
            raise
        return (
            f"the API key lacks the read permission '{permission}': grant it in Stripe's dashboard "
            f"(Developers > API keys > edit key), or use a secret key. (Stripe: {error.stripe_message})"
        )
    return None
