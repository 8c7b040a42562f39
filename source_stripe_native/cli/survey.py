"""The survey: what a key can capture, and what a backfill of it takes.

Which streams can be read is what discover finds out as well. How much there is to read, estimate.py guesses
from a few pages of each list. What is said of all streams is said of those that discover enables, too.
"""

import asyncio
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from logging import Logger
from typing import Any

from source_stripe_native.cli.endpoints import Endpoint
from source_stripe_native.cli.estimate import Count, count_pages, count_range, exactly
from source_stripe_native.config import EndpointConfig
from source_stripe_native.errors import ConnectorError
from source_stripe_native.settings import Settings
from source_stripe_native.state.windows import Window, floor
from source_stripe_native.streams.paths import endpoint_of
from source_stripe_native.streams.row import BaseStripeObject
from source_stripe_native.stripe.account_directory import (
    LAUNCH,
    connected_account_ids,
    find_accounts,
    selection_of,
)
from source_stripe_native.stripe.client import StripeSession
from source_stripe_native.stripe.pages import Page, PageToken, Source, range_params, read_page
from source_stripe_native.stripe.permissions import Denial, probe
from source_stripe_native.stripe.rate_limit import MOST_PER_ENDPOINT

Stream = type[BaseStripeObject]
Requests = Mapping[str, Count]
"""So many requests by endpoint."""


@dataclass(frozen=True)
class StreamSurvey:
    """A stream: why it cannot be read (`denial`), or how many objects it may have (None where nothing tells)
    and how many requests a backfill takes."""

    stream: Stream
    denial: Denial | None = None
    count: Count | None = None
    requests: Requests | None = None

    @property
    def is_enabled(self) -> bool:
        """Whether discover proposes it as enabled."""
        return not self.stream.DISABLED


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
    endpoints: tuple[str, Sequence[Endpoint] | str] | None = None
    """The address of a capture, and the endpoints that post to it, or why they cannot be read."""

    @property
    def mode(self) -> str:
        return "live" if self.is_live else "test"

    @property
    def missing(self) -> list[str]:
        """The permissions that the key lacks, as Stripe's dashboard calls them."""
        denials = (self.no_changes, *(each.denial for each in self.streams))
        return sorted({name for each in denials if each is not None for name in each.permissions})

    @property
    def enabled(self) -> "Survey":
        """The same of the streams that discover proposes as enabled."""
        return replace(self, streams=[each for each in self.streams if each.is_enabled])

    @property
    def requests(self) -> Requests:
        """The requests of a backfill of all streams. Streams that are found through one list read it once."""
        found: dict[str, Count] = {}
        for each in self.streams:
            for endpoint, number in (each.requests or {}).items():
                found[endpoint] = max(found.get(endpoint, number), number, key=lambda count: count.most)
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


async def survey(
    http: StripeSession, log: Logger, config: EndpointConfig, streams: Iterable[Stream]
) -> Survey:
    """Asks Stripe which of `streams` the key can read, and for a few pages of each. Raises ConnectorError
    where the key is refused, and StripeError for whatever else is wrong with a request."""
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
    requests: dict[str, Count] = {}
    for each in stream.found_through() or [stream]:
        if (count := counts.get(each)) is not None:
            pages = [math.ceil(objects / settings.page_size) or 1 for objects in (count.least, count.most)]
            requests[each.list_path()] = Count(*pages)
    parents = counts.get(stream.PARENT) if stream.PARENT is not None else None
    if parents is not None and not stream.EMBEDDED:
        requests[endpoint_of(stream.list_path("parent"))] = parents
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

    async def read(part: Window, token: PageToken | None) -> Page:
        limited = [*params, *range_params(stream, part)] if stream.LISTS_BY_CREATED else params
        return await read_page(source, stream.list_path(), limited, token)

    try:
        if stream.LISTS_BY_CREATED:
            return await count_range(read, window, stream.CREATED)
        return await count_pages(read, window)
    except ConnectorError as error:
        source.log.debug("a list cannot be counted", {"stream": stream.NAME, "error": error.answer})
        return None


@dataclass(frozen=True)
class Backfill:
    """What a backfill takes: requests, and seconds at the limits of `total` requests a second in all and
    `per_endpoint` to each endpoint."""

    requests: Count
    seconds: tuple[float, float]
    total: float
    per_endpoint: float


def backfill_of(found: Survey, config: EndpointConfig, settings: Settings) -> Backfill | None:
    """None where no list could be counted."""
    if not (requests := found.requests):
        return None
    total, per_endpoint = limits_of(config, settings)
    ends = [{path: getattr(count, end) for path, count in requests.items()} for end in ("least", "most")]
    least, most = (seconds_of(end, total, per_endpoint, settings) for end in ends)
    return Backfill(sum_of(requests), (least, most), total, per_endpoint)


def sum_of(requests: Requests) -> Count:
    return sum(requests.values(), exactly(0))


def as_data(found: Survey, config: EndpointConfig, settings: Settings) -> dict[str, Any]:
    """The survey as plain data, for output that a program reads: what the tables say."""

    def data(part: Survey) -> dict[str, Any]:
        backfill = backfill_of(part, config, settings)
        return {
            "streams": len(part.streams),
            "missing_permissions": part.missing,
            "requests": backfill and _range(backfill.requests),
            "seconds": backfill and {"least": round(backfill.seconds[0]), "most": round(backfill.seconds[1])},
        }

    total, per_endpoint = limits_of(config, settings)
    return {
        "account": found.account_id,
        "mode": found.mode,
        "api_version": found.version or None,
        "connected_accounts": found.connected,
        "nothing_can_be_captured": found.no_changes.reason if found.no_changes else None,
        "limits": {"requests_per_second": total, "to_one_endpoint": per_endpoint},
        "enabled": data(found.enabled),
        "all": data(found),
        **({"endpoints": _endpoints(found.endpoints[1])} if found.endpoints else {}),
        "streams": [
            {
                "stream": each.stream.NAME,
                "enabled": each.is_enabled,
                "readable": each.denial is None,
                "reason": each.denial.reason if each.denial else None,
                "permission": each.stream.PERMISSION,
                "objects": _range(each.count),
                "requests": _range(None if each.requests is None else sum_of(each.requests)),
            }
            for each in found.streams
        ],
    }


def _range(count: Count | None) -> dict[str, int] | None:
    return None if count is None else {"least": count.least, "most": count.most}


def _endpoints(endpoints: Sequence[Endpoint] | str) -> list[dict[str, Any]] | str:
    return endpoints if isinstance(endpoints, str) else [asdict(each) for each in endpoints]
