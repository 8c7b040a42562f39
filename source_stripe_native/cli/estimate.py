"""How many objects a list has, from a few of its pages.

A short list is read to its end, and counted. Of a longer one, pages are read down from several times:

    start           middle                         now
      |--- gap ---|- page -|------ gap ------|- pages -|

A gap has between its length times the lesser density of its two ends, and that times the greater one. The
gap that is known least is divided, until the least and the most that the list may have are close. Objects
that came in a burst make a gap whose ends differ by far. The burst ends close to the dense end, so every
other time such a gap is divided there. A burst between two pages, of which neither has a part, is not seen.
"""

import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from source_stripe_native.state.windows import Window
from source_stripe_native.stripe.pages import Page, PageToken

FIRST_PAGES: Final = 5
"""Pages from the newest on, with which a list is counted if it has no more."""
FURTHER_PAGES: Final = 25
CLOSE: Final = 0.5
"""How far apart the least and the most may be, as a share of what lies in the middle."""

Read = Callable[[Window, PageToken | None], Awaitable[Page]]
"""Reads a page of what was created in a window, from the newest on or after a token."""


@dataclass(frozen=True)
class Count:
    """So many objects at least, and at most as far as the pages tell."""

    least: int
    most: int

    @property
    def is_exact(self) -> bool:
        return self.least == self.most

    @property
    def objects(self) -> int:
        """The number between the two."""
        return (self.least + self.most) // 2

    def __add__(self, other: "Count") -> "Count":
        return Count(self.least + other.least, self.most + other.most)


def exactly(objects: int) -> Count:
    return Count(objects, objects)


@dataclass(frozen=True)
class _Gap:
    """A time of which nothing was read, between two densities in objects a second. `older` is None where
    nothing is known of what came before. `at_burst` says where it is divided."""

    window: Window
    older: float | None
    newer: float
    at_burst: bool = False

    @property
    def least(self) -> float:
        return self.window.seconds * min(self.older or 0, self.newer)

    @property
    def most(self) -> float:
        return self.window.seconds * (2 * self.newer if self.older is None else max(self.older, self.newer))

    def split(self) -> int:
        """The time at which it is divided."""
        half = self.window.seconds // 2
        if not self.at_burst:
            return self.window.start + half
        # The geometric mean of the shortest time that the burst may have gone on, and of all the gap.
        older = self.older or 0
        near = min(half, max(1, round(math.sqrt(self.window.seconds / max(older, self.newer)))))
        return self.window.start + near if older > self.newer else self.window.end - near


async def count_range(read: Read, window: Window, field: str) -> Count:
    """How many objects of `window` a list has; `field` has the time of their creation."""
    found, token, times = 0, None, list[int]()
    for _ in range(FIRST_PAGES):
        page = await read(window, token)
        found, token, times = found + len(page.objects), page.next, _times(page, field)
        if token is None:
            return exactly(found)
        if not times:
            return Count(found, 2 * found)
    gaps = [_Gap(Window(window.start, min(times)), None, _density(times))]
    for _ in range(FURTHER_PAGES):
        least, most = found + sum(gap.least for gap in gaps), found + sum(gap.most for gap in gaps)
        widest = max(gaps, key=lambda gap: (gap.window.seconds > 1) * (gap.most - gap.least))
        if widest.window.seconds < 2 or most - least <= CLOSE * (least + most) / 2:
            break
        gaps.remove(widest)
        objects, parts = await _divided(read, widest, field)
        found += objects
        gaps += parts
    return Count(
        round(found + sum(gap.least for gap in gaps)), math.ceil(found + sum(gap.most for gap in gaps))
    )


async def count_pages(read: Read, window: Window) -> Count | None:
    """How many objects a list has that no time divides; None where it has too many pages to count them."""
    found, token = 0, None
    for _ in range(FIRST_PAGES + FURTHER_PAGES):
        page = await read(window, token)
        found, token = found + len(page.objects), page.next
        if token is None:
            return exactly(found)
    return None


async def _divided(read: Read, gap: _Gap, field: str) -> tuple[int, list[_Gap]]:
    """What a page from within the gap has, and the gaps that are left of it."""
    start, middle, end = gap.window.start, gap.split(), gap.window.end
    page = await read(Window(start, middle), None)
    times = _times(page, field)
    if page.next is None or not times:
        density = len(page.objects) / (middle - start)
        return len(page.objects), [_Gap(Window(middle, end), density, gap.newer, not gap.at_burst)]
    oldest, found = min(times), len(page.objects)
    return found, [
        _Gap(Window(start, oldest), gap.older, _density(times), not gap.at_burst),
        _Gap(Window(middle, end), found / (middle - oldest), gap.newer, not gap.at_burst),
    ]


def _times(page: Page, field: str) -> list[int]:
    """When the objects of a page were created, as far as they say it."""
    return [at for each in page.objects if isinstance(at := each.get(field), int)]


def _density(times: Sequence[int]) -> float:
    """Objects a second of the time between the first and the last."""
    return len(times) / max(1, max(times) - min(times))
