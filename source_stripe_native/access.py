"""Which streams can be read: by the key, by what the account has, and in the API version in force. Found out
before anything is captured, with all probes at once and one request each.

A secret key may read everything that the account has; only a restricted one is probed stream by stream. What
it lacks is named as Stripe's dashboard calls it.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from logging import Logger

from source_stripe_native.errors import NOT_SET_UP, PERMISSION_MISSING, ConnectorError, StripeError
from source_stripe_native.http import StripeSession
from source_stripe_native.models import BaseStripeObject, Events

NO_PARENT = "invalid_id"
"""A parent that is never there: what Stripe says of it tells whether its children could be read."""


@dataclass(frozen=True)
class Denial:
    """Why a stream cannot be read, and whether another key could."""

    reason: str
    by_key: bool = False


@dataclass(frozen=True)
class Access:
    """`readable` streams, in the order asked for, and those that are `denied`, by name."""

    readable: list[type[BaseStripeObject]]
    denied: dict[str, Denial]


async def probe(http: StripeSession, log: Logger, streams: Iterable[type[BaseStripeObject]]) -> Access:
    """Raises ConnectorError where the key may not read events, without which no stream could follow changes,
    and StripeError for whatever else is wrong with a request."""
    streams = list(streams)
    events, *denials = await asyncio.gather(
        _denial(http, log, Events), *(_denial(http, log, each) for each in streams)
    )
    if events is not None:
        raise ConnectorError(f"Changes cannot be captured: {events.reason}")
    denied = {each.NAME: denial for each, denial in zip(streams, denials, strict=True) if denial is not None}
    return Access([each for each in streams if each.NAME not in denied], denied)


async def _denial(http: StripeSession, log: Logger, stream: type[BaseStripeObject]) -> Denial | None:
    """Why the stream cannot be read, None where it can."""
    version = http.version or ""
    if version and not stream.SINCE_VERSION <= version[:10] < (stream.UNTIL_VERSION or "9"):
        bounds = [f"from {stream.SINCE_VERSION} on"] if stream.SINCE_VERSION else []
        bounds += [f"before {stream.UNTIL_VERSION}"] if stream.UNTIL_VERSION else []
        wanted = " and ".join(bounds)
        return Denial(f"API version {version} does not have it: set advanced.api_version to one {wanted}.")
    if not (http.is_restricted or stream.GATED):
        return None
    params = [*next(iter(stream.VARIANTS.values())).items(), ("limit", "1")]
    if stream.PARENT_PARAM:
        params.append((stream.PARENT_PARAM, NO_PARENT))
    try:
        await http.get(log, f"/v1/{stream.SEARCH_NAME.format(parent=NO_PARENT)}", params)
    except StripeError as error:
        if PERMISSION_MISSING.matches(error):
            return Denial(
                f"the API key lacks the read permission '{stream.PERMISSION}': grant it in Stripe's "
                "dashboard (Developers > API keys > edit key), or use a secret key. "
                f"(Stripe: {error.stripe_message})",
                by_key=True,
            )
        if stream.GATED and NOT_SET_UP.matches(error):
            return Denial(f"the account does not have the product. (Stripe: {error.stripe_message})")
        if stream.PARENT is None:
            raise
    return None
