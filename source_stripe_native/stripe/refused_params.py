"""Query parameters that Stripe refuses on an endpoint: left out from then on, with one warning.

A restricted key may lack the permission for an expanded object, and an old API version may not know a field
or a filter. Neither may end a capture: the documents then lack the field, or the list is filtered here.

Rule: a parameter is blamed only where the same request without it is answered, and only by Stripe's own words
about it: what fails for a passing reason leaves nothing out. The parameters that select a
parent or a page are never left out, since other objects would be read without them. What one connected
account refuses to expand is left out for that account alone; what the key's own account refuses, for all. An
expansion that lacks a permission is tried again from time to time, since the permission may be granted.
"""

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable

from source_stripe_native.errors import PARAMETER_UNKNOWN, PERMISSION_MISSING, StripeError
from source_stripe_native.streams.paths import endpoint_of
from source_stripe_native.stripe.expansions import PARAM
from source_stripe_native.stripe.wire import Params

Refusal = Callable[[str, Params], Awaitable[StripeError | None]]
"""Why Stripe refuses the path with these parameters, None where it answers. What may pass is raised."""


class RefusedParams:
    """What Stripe has refused. What lacks a permission is left out for `retention` seconds of the monotonic
    clock `now`."""

    def __init__(self, retention: float, now: Callable[[], float] = time.monotonic) -> None:
        self._retention = retention
        self._now = now
        self._refused: defaultdict[tuple[str | None, str], dict[str, float]] = defaultdict(dict)
        """Until when names of filters and paths of expansions are left out, by the account acted as (None for
        the key's own) and endpoint."""
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def lock(self, path: str) -> asyncio.Lock:
        """Held while a parameter is blamed: of requests that fail side by side one finds out and warns."""
        return self._locks[endpoint_of(path)]

    def kept(self, account_id: str | None, path: str, params: Params) -> Params:
        """`params` without those that Stripe refuses at `path` when acting as the account."""
        endpoint, until = endpoint_of(path), dict[str, float]()
        for acting in (None, account_id):
            until |= self._refused.get((acting, endpoint), {})
        if not until:
            return params
        now = self._now()
        return [
            (name, value)
            for name, value in params
            if until.get(value if name == PARAM else _base(name), -math.inf) <= now
        ]

    def is_filtered(self, path: str, names: Collection[str]) -> bool:
        """Whether Stripe filters the list at `path` by all of these parameters, as far as is known."""
        return self._refused.get((None, endpoint_of(path)), {}).keys().isdisjoint(names)

    async def blame(
        self,
        account_id: str | None,
        path: str,
        params: Params,
        error: StripeError,
        filters: Iterable[str],
        refusal: Refusal,
    ) -> dict[str, bool]:
        """The parameters that `error` is about, which are left out from now on, each with whether that is
        new; none where it is about none of the row's `filters` and expansions."""
        name, refused = _base(error.param), dict[str, float]()
        is_sent = any(_base(param) == name for param, _ in params)
        if PARAMETER_UNKNOWN.matches(error) and name in filters and is_sent:
            account_id, refused = None, {name: math.inf}
        elif _is_about_expansions(error):
            bare = [pair for pair in params if pair[0] != PARAM]
            expansions = [value for name, value in params if name == PARAM]
            # A missing permission may be that for the list itself: it names no expansion.
            if expansions and await refusal(path, bare) is not None:
                return {}
            for expansion in expansions:
                reason = await refusal(path, [*bare, (PARAM, expansion)])
                if reason is not None and not _is_about_expansions(reason):
                    raise reason
                if reason is not None:
                    lacks = PERMISSION_MISSING.matches(reason)
                    refused[expansion] = self._now() + self._retention if lacks else math.inf
        if not refused:
            return {}
        known = self._refused[account_id, endpoint_of(path)]
        blamed = {expansion: expansion not in known for expansion in refused}
        known.update(refused)
        return blamed


def _is_about_expansions(error: StripeError) -> bool:
    named = "expand" in f"{error.param} {error.stripe_message}".lower()
    return (named and not error.should_retry) or PERMISSION_MISSING.matches(error)


def _base(name: str) -> str:
    return name.partition("[")[0]
