"""Shared pages: a page of parents is read once for all child streams that backfill through it.

Cards, bank accounts, payment methods and balance transactions are all found through the customers. The first
of them to need a page of customers reads it, with what any of them wants expanded; the others get a copy.

Rule: a copy is as old as its request. While it is kept, so is when each of its streams captured what, so
that the backfill leaves these objects out. Limits: a copy is kept for `Settings.shared_page_retention`, and
all have `Settings.shared_page_bytes`. It is dropped when every stream has it. A stream that comes later
reads for itself.
"""

import asyncio
import functools
from collections.abc import Collection, Hashable
from dataclasses import dataclass, replace

from source_stripe_native.backfill.superseded import SupersededIds
from source_stripe_native.settings import Settings
from source_stripe_native.streams.row import BaseStripeObject
from source_stripe_native.stripe.expansions import embedded_params
from source_stripe_native.stripe.pages import Page, ReadPage, Source, packed
from source_stripe_native.stripe.readings import Readings
from source_stripe_native.stripe.wire import Params


@dataclass
class _Copy:
    """A page, the streams whose captures are recorded for it, and those of them that have yet to get it."""

    account_id: str | None
    page: Page
    streams: Collection[str]
    waiting: set[str]


class SharedPages:
    def __init__(self, superseded: SupersededIds, settings: Settings) -> None:
        self._superseded = superseded
        self._readers: dict[str, dict[str, type[BaseStripeObject]]] = {}
        self._copies = Readings[_Copy](
            settings.shared_page_retention,
            settings.shared_page_bytes,
            lambda copy: copy.page.size,
            self._close,
        )

    def register(self, stream: type[BaseStripeObject]) -> None:
        """Says that a child stream backfills. Must be called before any of its pages is read."""
        if stream.PARENT is not None:
            self._readers.setdefault(stream.PARENT.NAME, {})[stream.NAME] = stream

    def expansions(self, stream: type[BaseStripeObject]) -> Params:
        """What a page of parents is asked to expand, for all child streams that backfill through it."""
        assert stream.PARENT is not None
        readers = self._readers.get(stream.PARENT.NAME, {stream.NAME: stream})
        wanted = (pair for reader in readers.values() for pair in embedded_params(reader))
        return sorted(set(wanted))

    async def read(self, source: Source, key: Hashable, read_page: ReadPage) -> Page:
        """The page that `key` stands for, from `read_page` where no copy of it is kept for the stream."""
        stream = source.stream
        assert stream.PARENT is not None
        streams = self._readers.get(stream.PARENT.NAME, {}).keys()
        if len(streams) < 2:
            return await read_page(source)
        copy = await source.shared(self._copies, key, functools.partial(self._copy, streams, read_page))
        if stream.NAME not in copy.waiting:
            return await read_page(source)
        copy.waiting.remove(stream.NAME)
        if not copy.waiting:
            self._copies.drop(key)
        source.count(copy.page.size)
        return copy.page

    async def _copy(self, streams: Collection[str], read_page: ReadPage, source: Source) -> _Copy:
        copy = _Copy(source.account_id, Page([], None), streams, set(streams))
        asked_time = asyncio.get_running_loop().time()
        for stream in streams:
            self._superseded.open(stream, source.account_id)
        try:
            copy.page = replace(packed(await read_page(source)), asked_time=asked_time)
        except BaseException:
            self._close(copy)
            raise
        return copy

    def _close(self, copy: _Copy) -> None:
        for stream in copy.streams:
            self._superseded.close(stream, copy.account_id)
