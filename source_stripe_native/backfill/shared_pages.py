"""Shared pages: a page of parents is read once for all child streams that backfill through it.

Cards, bank accounts, payment methods and balance transactions are all found through the customers. The first
of them to need a page of customers reads it, with what any of them wants expanded; the others get a copy.

Rule: a copy is as old as its request. The ids that a stream captured since then are kept with the page, so
that the backfill leaves these objects out. Limits: `Settings.shared_page_bytes` in all. A page is dropped
when every stream has it, or when newer pages need the room: a stream that comes later reads it for itself.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field, replace

from source_stripe_native.backfill.superseded import SupersededIds
from source_stripe_native.settings import Settings
from source_stripe_native.streams.row import BaseStripeObject
from source_stripe_native.stripe.expansions import embedded_params
from source_stripe_native.stripe.pages import Page
from source_stripe_native.stripe.wire import Packed, Params


@dataclass
class _Copy:
    """A page, its objects apart from it, the streams that have yet to get it, and what each of them captured
    since."""

    account_id: str | None
    objects: Packed
    page: Page
    captured: dict[str, set[str]] = field(default_factory=dict)


class SharedPages:
    def __init__(self, superseded: SupersededIds, settings: Settings) -> None:
        self._superseded = superseded
        self._settings = settings
        self._readers: dict[str, dict[str, type[BaseStripeObject]]] = {}
        self._under_way: dict[Hashable, asyncio.Task[None]] = {}
        self._copies: dict[Hashable, _Copy] = {}
        self._bytes = 0

    def register(self, stream: type[BaseStripeObject]) -> None:
        """Says that a child stream backfills. Must be called before any of its pages is read."""
        if stream.PARENT is not None:
            self._readers.setdefault(stream.PARENT.NAME, {})[stream.NAME] = stream

    def expansions(self, stream: type[BaseStripeObject]) -> Params:
        """What a page of parents is asked to expand, for all child streams that backfill through it."""
        assert stream.PARENT is not None
        readers = self._readers.get(stream.PARENT.NAME, {stream.NAME: stream})
        wanted = (pair for each in readers.values() for pair in embedded_params(each))
        return sorted(set(wanted))

    async def read(
        self,
        stream: type[BaseStripeObject],
        account_id: str | None,
        key: Hashable,
        read_page: Callable[[], Awaitable[Page]],
    ) -> Page:
        """The page that `key` stands for, from `read_page` where no copy of it is kept."""
        assert stream.PARENT is not None
        readers = self._readers.get(stream.PARENT.NAME, {})
        if len(readers) < 2:
            return await read_page()
        if key not in self._copies:
            if key not in self._under_way:
                task = asyncio.ensure_future(self._keep(readers, account_id, key, read_page))
                self._under_way[key] = task
                task.add_done_callback(lambda _: self._under_way.pop(key, None))
            await asyncio.shield(self._under_way[key])
        copy = self._copies.get(key)
        if copy is None or stream.NAME not in copy.captured:
            return await read_page()
        ids = copy.captured.pop(stream.NAME)
        self._superseded.close(stream.NAME, account_id, ids)
        if not copy.captured:
            self._drop(key)
        return replace(copy.page, objects=copy.objects, superseded=frozenset(ids))

    async def _keep(
        self,
        readers: dict[str, type[BaseStripeObject]],
        account_id: str | None,
        key: Hashable,
        read_page: Callable[[], Awaitable[Page]],
    ) -> None:
        captured = {name: self._superseded.open(name, account_id) for name in readers}
        try:
            page = await read_page()
        except BaseException:
            for name, ids in captured.items():
                self._superseded.close(name, account_id, ids)
            raise
        objects = Packed(page.objects)
        self._copies[key] = _Copy(account_id, objects, replace(page, objects=[]), captured)
        self._bytes += objects.size
        while self._bytes > self._settings.shared_page_bytes and len(self._copies) > 1:
            self._drop(next(iter(self._copies)))

    def _drop(self, key: Hashable) -> None:
        copy = self._copies.pop(key)
        self._bytes -= copy.objects.size
        for name, ids in copy.captured.items():
            self._superseded.close(name, copy.account_id, ids)
