"""Shared pages: a page that several streams are made of is read once for all of them.

Cards, bank accounts, payment methods and balance transactions are all found through the customers. Checkout
sessions are documents of one stream and parents in another. The first stream to need a page reads it, with
what any of them wants expanded; the others get a copy.

Limits: a copy is kept for a `retention` that counts from its request, and all copies have `most` bytes.
Backfills ask for a page once: their copies are dropped when every stream has one, and a stream that comes
later reads for itself. Readers of polled lists allow for a copy of that age (see `list_feed`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from datetime import timedelta

from source_stripe_native.streams.row import BaseStripeObject
from source_stripe_native.stripe.expansions import embedded_params, list_params
from source_stripe_native.stripe.pages import Page, Source
from source_stripe_native.stripe.readings import Readings
from source_stripe_native.stripe.wire import Packed, Params

ReadPage = Callable[[Source], Awaitable[Page]]
"""Reads a page by the requests of a source."""
Record = Callable[[tuple[str, str | None]], AbstractContextManager[object]]
"""Records what is captured of a stream and account while a page may be used."""


@dataclass
class _Copy:
    """A page, its bytes, the streams that have yet to get it, and what ends the records of their captures."""

    page: Page
    size: int
    waiting: set[str]
    records: ExitStack


class SharedPages:
    """Made once for the backfills of a capture, which `record` what is captured meanwhile, and once for its
    polled lists."""

    def __init__(self, retention: timedelta, most: int, record: Record | None = None) -> None:
        self._record = record
        self._readers: dict[str, dict[str, type[BaseStripeObject]]] = {}
        """The streams that are made of a list, by the name of the list's own stream."""
        self._copies = Readings[_Copy](
            retention, most, lambda copy: copy.size, lambda copy: copy.records.close()
        )

    def register(self, stream: type[BaseStripeObject]) -> None:
        """Registers a stream, under its parent if it has one. Must be called before a page is read."""
        self._readers.setdefault((stream.PARENT or stream).NAME, {})[stream.NAME] = stream

    def child_of(self, stream: type[BaseStripeObject]) -> type[BaseStripeObject] | None:
        """The stream of children that is made of the list of `stream` too."""
        readers = self._readers.get(stream.NAME, {}).values()
        return next((reader for reader in readers if reader.PARENT is not None), None)

    def expansions(self, stream: type[BaseStripeObject]) -> Params:
        """What a page of parents is asked to expand, for all streams that are made of it."""
        assert stream.PARENT is not None
        readers = self._readers.get(stream.PARENT.NAME, {stream.NAME: stream}).values()
        params = [list_params(row) if row.PARENT is None else embedded_params(row) for row in readers]
        return sorted({pair for pairs in params for pair in pairs})

    async def read(self, source: Source, key: Hashable, read_page: ReadPage) -> Page:
        """The page that `key` stands for, from `read_page` where no copy of it is kept for the stream."""
        stream = source.stream
        assert stream.PARENT is not None
        streams = self._readers.get(stream.PARENT.NAME, {}).keys()
        if len(streams) < 2:
            return await read_page(source)

        async def read_copy(source: Source) -> _Copy:
            asked_time = asyncio.get_running_loop().time()
            with ExitStack() as records:
                if (record := self._record) is not None:
                    for name in streams:
                        records.enter_context(record((name, source.account_id)))
                page = await read_page(source)
                packed = Packed(page.objects)
                page = replace(page, objects=packed, asked_time=asked_time)
                return _Copy(page, packed.size, {*streams}, records.pop_all())

        copy = await source.shared(self._copies, key, read_copy)
        if self._record is not None:
            if stream.NAME not in copy.waiting:
                return await read_page(source)
            copy.waiting.remove(stream.NAME)
            if not copy.waiting:
                self._copies.drop(key)
        source.count(copy.size)
        return copy.page
