"""Query parameters that Stripe refuses on an endpoint: left out from then on, with one warning.

A restricted key may lack the permission for an expanded object, and an old API version may not know a field
or a filter. Neither may end a capture: the documents then lack the field, or the list is filtered here.

Rule: a parameter is blamed (see `source`) only where the same request without it is answered, and only by
Stripe's own words about it: what fails for a passing reason leaves nothing out. The parameters that select a
parent or a page are never left out, since other objects would be read without them. What one connected
account refuses to expand is left out for that account alone; what the key's own account refuses, for all. An
expansion that lacks a permission is tried again from time to time, since the permission may be granted.
"""

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping

from source_stripe_native.streams.paths import endpoint_of
from source_stripe_native.stripe.expansions import PARAM
from source_stripe_native.stripe.wire import Params


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
        if not self._refused:
            return params
        endpoint, until = endpoint_of(path), dict[str, float]()
        for acting in (None, account_id):
            until |= self._refused.get((acting, endpoint), {})
        if not until:
            return params
        now = self._now()
        return [
            (name, value)
            for name, value in params
            if until.get(value if name == PARAM else base_of(name), -math.inf) <= now
        ]

    def is_filtered(self, path: str, names: Collection[str]) -> bool:
        """Whether Stripe filters the list at `path` by all of these parameters, as far as is known."""
        return self._refused.get((None, endpoint_of(path)), {}).keys().isdisjoint(names)

    def add(self, account_id: str | None, path: str, params: Mapping[str, bool]) -> bool:
        """Leaves parameters out from now on; what is said to lack a permission, for the retention. Returns
        whether any of them is new."""
        known = self._refused[account_id, endpoint_of(path)]
        is_new = not params.keys() <= known.keys()
        again = self._now() + self._retention
        known.update({name: again if lacks else math.inf for name, lacks in params.items()})
        return is_new


def base_of(name: str) -> str:
    """The name of a parameter without the keys inside it."""
    return name.partition("[")[0]
