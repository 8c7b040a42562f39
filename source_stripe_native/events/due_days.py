"""Due days: when objects change by the clock alone (`CHANGES_AT`), and where they are to be found then.

    created     |-- since ... until --|                            a part of the list, in whole days (UTC)
    due                                          |-- the day --|   the list of that part is read again

No event reports such a change, and no filter finds it, but the object says when it comes. What the daily
reading of a longer past (`RELIST`) covers is not remembered.

Rule: a day is remembered, in the state too, before a document that is due on it counts, and forgotten once it
has passed and its part of the list has been read.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

from source_stripe_native.events.list_memory import ListMemories
from source_stripe_native.state.remembered_lists import Listed
from source_stripe_native.state.windows import DAY, Window, floor
from source_stripe_native.streams.row import BaseStripeObject
from source_stripe_native.stripe.client import Json
from source_stripe_native.stripe.documents import get_path
from source_stripe_native.stripe.pages import Source

LATE: Final = 2 * DAY
"""How late Stripe may be with such a change, so that the object is read again for so long."""


def days_of(source: Source, objects: Iterable[Json]) -> dict[str, Listed]:
    """The days on which `objects`, which are about to be captured, are due."""
    stream, days = source.stream, dict[str, Listed]()
    if not stream.CHANGES_AT:
        return days
    now = floor(source.http.now())
    # How long after its creation an object may be due and is still in the daily reading, however late.
    covered = max(0, int(stream.RELIST.total_seconds()) - LATE - DAY)
    for obj in objects:
        if not isinstance(created := obj.get(stream.CREATED), int):
            continue
        since = created // DAY * DAY
        for at in due_times(stream, obj):
            if at >= max(now - LATE, created + covered):
                day = datetime.fromtimestamp(at, UTC).date().isoformat()
                listed = Listed(b"", {"id": day, "since": since, "until": since + DAY})
                days = merged(days, {day: listed})
    return days


def merged(known: Mapping[str, Listed], days: Mapping[str, Listed]) -> dict[str, Listed]:
    """The `days`, each with the part of the list that it is `known` to need too, and the other days."""
    return {**known, **{day: joined(known.get(day), listed) for day, listed in days.items()}}


def parts_due(source: Source, memories: ListMemories, window: Window) -> list[Window]:
    """The parts of the list with objects that are due about the time of `window`."""
    days = memories.of(source) if source.stream.CHANGES_AT else {}
    return [
        Window(int(listed.keys["since"]), int(listed.keys["until"]))
        for day, listed in days.items()
        if is_due(_time(day), window, DAY)
    ]


def passed(source: Source, memories: ListMemories, window: Window) -> dict[str, None]:
    """The days that are due in no window after this one: to be forgotten."""
    days = memories.of(source) if source.stream.CHANGES_AT else {}
    return {day: None for day in days if _time(day) + DAY <= window.end // DAY * DAY - LATE}


def due_times(stream: type[BaseStripeObject], obj: Json) -> Iterator[int]:
    """The Unix times at which the object changes by the clock alone."""
    for path in stream.CHANGES_AT:
        if isinstance(at := get_path(obj, path), int):
            yield at


def is_due(at: int, window: Window, length: int = 0) -> bool:
    """Whether what is due at `at`, or within `length` from then on, may have changed about the time of
    `window`."""
    return window.start - LATE <= at + length and at < window.end + DAY


def joined(one: Listed | None, other: Listed) -> Listed:
    """Both parts of the list, and what lies between them."""
    parts = [listed.keys for listed in (one, other) if listed is not None]
    since, until = min(part["since"] for part in parts), max(part["until"] for part in parts)
    return Listed(b"", {"id": other.keys["id"], "since": since, "until": until})


def _time(day: str) -> int:
    """The day's first second."""
    return int(datetime.fromisoformat(f"{day}T00:00:00+00:00").timestamp())
