"""The survey: what a key can capture, and what a backfill of it takes.

Which streams can be read is what discover finds out as well. How much there is to read is a guess from the
newest page of each list, and one from the middle of the time before it:

    start                  middle                      now
      |...........|--- page ---|...........|--- page ---|

The density of the two pages stands for the list. Where all of the older half is on one page, the half is
counted, and the newer half is divided in its turn. A list with no further page is counted exactly.
"""

import asyncio
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from logging import Logger
from typing import Any, Final

from source_stripe_native.config import EndpointConfig
from source_stripe_native.errors import ConnectorError
from source_stripe_native.settings import Settings
from source_stripe_native.state.windows import Window, floor
from source_stripe_native.streams.paths import endpoint_of
from source_stripe_native.streams.row import BaseStripeObject
from source_stripe_native.stripe.account_directory import (
    connected_account_ids,
    find_accounts,
    selection_of,
)
from source_stripe_native.stripe.client import MOST_PER_ENDPOINT, StripeSession
from source_stripe_native.stripe.pages import Page, Source, range_params, read_page
from source_stripe_native.stripe.permissions import Denial, probe

Stream = type[BaseStripeObject]
LAUNCH: Final = 1_293_840_000
"""2011-01-01, before Stripe was open to anyone: no list goes back further."""
PAGES: Final = 20
"""Pages that are read of a list at most, beside the newest: each halves the time that is not yet known."""


@dataclass(frozen=True)
class Count:
    """So many objects; where not `exact`, a guess."""

    objects: int
    exact: bool = True

    def __add__(self, other: "Count") -> "Count":
        return Count(self.objects + other.objects, self.exact and other.exact)


@dataclass(frozen=True)
class StreamSurvey:
    """A stream: why it cannot be read (`denial`), or how many objects it may have (None where nothing tells)
    and how many requests a backfill takes, by endpoint."""

    stream: Stream
    denial: Denial | None = None
    count: Count | None = None
    requests: Mapping[str, int] | None = None


@dataclass(frozen=True)
class Survey:
    """What the key of an account can capture. `connected` is the number of connected accounts, whose objects
    are not counted; None for a capture of one account."""

    account_id: str
    is_live: bool
    version: str
    connected: int | None
    streams: Sequence[StreamSurvey]
    no_changes: Denial | None = None
    """Why the key may not read events, without which nothing is captured; None where it may."""

    @property
    def missing(self) -> list[str]:
        """The permissions that the key lacks, as Stripe's dashboard calls them."""
        denials = (self.no_changes, *(each.denial for each in self.streams))
        return sorted({name for each in denials if each is not None for name in each.permissions})

    @property
    def requests(self) -> dict[str, int]:
        """The requests of a backfill of all streams, by endpoint. Streams that are found through one list
        read it once."""
        found: dict[str, int] = {}
        for each in self.streams:
            for endpoint, number in (each.requests or {}).items():
                found[endpoint] = max(found.get(endpoint, 0), number)
        return found


def seconds_of(requests: Mapping[str, int], total: float, per_endpoint: float, settings: Settings) -> float:
    """How long so many requests, by endpoint, take at so many a second in all and to each endpoint."""
    longest = max([sum(requests.values()) / total, *(each / per_endpoint for each in requests.values())])
    return longest / settings.utilisation


def limits_of(config: EndpointConfig, settings: Settings) -> tuple[float, float]:
    """The requests a second that a capture of this config makes in all, and to one endpoint."""
    most = config.advanced.max_requests_per_second
    if most is not None:
        return most, min(most, MOST_PER_ENDPOINT)
    live = "_live_" in config.credentials.access_token
    return settings.requests_live if live else settings.requests_test, settings.requests_per_endpoint


def _density(page: Page, end: int, field: str) -> float:
    """Objects a second of a page that was read down from `end`."""
    created = [at for each in page.objects if isinstance(at := each.get(field), int)]
    return len(created) / max(1, end - min(created, default=end))


async def survey(
    http: StripeSession, log: Logger, config: EndpointConfig, streams: Iterable[Stream]
) -> Survey:
    """Asks Stripe which of `streams` the key can read, and for two pages of each. Raises ConnectorError where
    the key is refused, and StripeError for whatever else is wrong with a request."""
    connected = config.capture_connected_accounts
    accounts = await find_accounts(http, log, selection_of(config), connected=connected)
    own_id, selection = accounts.platform_id, accounts.selection
    connected_ids = await connected_account_ids(http, log, own_id, selection) if connected else []
    wanted = list(streams)
    permissions = await probe(http, log, wanted, connected=connected)
    window = Window(max(floor(config.start_date), LAUNCH), floor(http.now()) + 1)
    lists = [each for each in permissions.readable if each.PARENT is None and not each.EMBEDDINGS]
    through = [found for each in permissions.readable for found in each.found_through()]
    listed = list(dict.fromkeys([*lists, *through]))
    counts = dict(
        zip(listed, await asyncio.gather(*(_count(http, log, each, window) for each in listed)), strict=True)
    )
    return Survey(
        own_id,
        "_live_" in config.credentials.access_token,
        http.version or "",
        len(connected_ids) if connected else None,
        [_of_stream(each, permissions.denied.get(each.NAME), counts, http.settings) for each in wanted],
        permissions.no_changes,
    )


def _of_stream(
    stream: Stream, denial: Denial | None, counts: Mapping[Stream, Count | None], settings: Settings
) -> StreamSurvey:
    if denial is not None:
        return StreamSurvey(stream, denial)
    requests: dict[str, int] = {}
    for each in stream.found_through() or [stream]:
        if (count := counts.get(each)) is not None:
            requests[each.list_path()] = math.ceil(count.objects / settings.page_size) or 1
    parents = counts.get(stream.PARENT) if stream.PARENT is not None else None
    if parents is not None and not stream.EMBEDDED:
        requests[endpoint_of(stream.list_path("parent"))] = parents.objects
    own = counts.get(stream) if stream.PARENT is None and not stream.EMBEDDINGS else None
    return StreamSurvey(stream, None, own, requests)


async def _count(http: StripeSession, log: Logger, stream: Stream, window: Window) -> Count | None:
    """How many objects the stream's list has of `window`; None where it cannot be asked for."""
    source = Source(http, log, stream, None, None)
    found = [await _count_variant(source, list(each.items()), window) for each in stream.VARIANTS.values()]
    known = [each for each in found if each is not None]
    return sum(known[1:], known[0]) if known else None


async def _count_variant(source: Source, params: list[tuple[str, str]], window: Window) -> Count | None:
    stream = source.stream
    try:
        if stream.LISTS_BY_CREATED:
            return await _count_range(source, params, window)
        page = await read_page(source, stream.list_path(), params, None)
    except ConnectorError as error:
        source.log.debug("a list cannot be counted", {"stream": stream.NAME, "error": error.answer})
        return None
    return Count(len(page.objects), exact=page.next is None)


async def _count_range(source: Source, params: list[tuple[str, str]], window: Window) -> Count:
    """How many objects of `window` a list has."""

    async def read(part: Window) -> Page:
        return await read_page(
            source, source.stream.list_path(), [*params, *range_params(source.stream, part)], None
        )

    newest = await read(window)
    found = len(newest.objects)
    if newest.next is None or newest.next.created is None:
        return Count(found, exact=newest.next is None)
    density = _density(newest, window.end, source.stream.CREATED)
    rest = Window(window.start, newest.next.created)
    # Beyond the length of the newest page, the density of that page says enough.
    for _ in range(PAGES):
        if rest.seconds <= window.end - newest.next.created:
            break
        older, newer = rest.halves()
        page = await read(older)
        if page.next is not None:
            older_density = _density(page, older.end, source.stream.CREATED)
            between = newer.seconds * (density + older_density) / 2
            return Count(found + round(between + older.seconds * older_density), exact=False)
        found, rest = found + len(page.objects), newer
    return Count(found + max(1, round(rest.seconds * density)), exact=False)


def as_data(found: Survey) -> dict[str, Any]:
    """The survey as plain data, for output that a program reads."""
    return {
        "account": found.account_id,
        "missing_permissions": found.missing,
        "streams": [
            {
                "stream": each.stream.NAME,
                "readable": each.denial is None,
                "reason": each.denial.reason if each.denial else None,
                "permission": each.stream.PERMISSION,
                "objects": each.count.objects if each.count else None,
                "exact": bool(each.count and each.count.exact),
                "requests": sum((each.requests or {}).values()) if each.requests is not None else None,
            }
            for each in found.streams
        ],
    }
