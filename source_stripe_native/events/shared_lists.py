"""Shared lists: a page of a polled list is read once for all streams that are made of it.

Checkout sessions are documents of one stream and parents in another, and so are value lists. The first of the
two to poll reads the page, with what either of them wants expanded; the other gets a copy.

Limits: a copy is given out for `Settings.shared_list_retention`, and `Settings.shared_list_bytes` are kept in
all. Readers of a polled list allow for a copy of that age (see `list_feed`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterable
from dataclasses import dataclass, replace

import orjson

from source_stripe_native.settings import DEFAULTS, Settings
from source_stripe_native.streams.row import BaseStripeObject
from source_stripe_native.stripe.client import Json, Params
from source_stripe_native.stripe.expansions import embedded_params, list_params
from source_stripe_native.stripe.pages import Page


@dataclass(frozen=True)
class _Copy:
    """A page as bytes, and until when it is given out, in seconds of the loop's clock."""

    body: bytes
    page: Page
    until_time: float


class SharedLists:
    """The lists that more than one of `streams` polls."""

    def __init__(self, streams: Iterable[type[BaseStripeObject]] = (), settings: Settings = DEFAULTS) -> None:
        polled = {each.NAME: each for each in streams if each.POLLS}
        self._child = {
            each.PARENT.NAME: each
            for each in polled.values()
            if each.PARENT is not None and each.PARENT.NAME in polled
        }
        """The stream of children that shares a list, by the name of the list's own stream."""
        self._settings = settings
        self._under_way: dict[Hashable, asyncio.Task[None]] = {}
        self._copies: dict[Hashable, _Copy] = {}
        self._bytes = 0

    def child_of(self, stream: type[BaseStripeObject]) -> type[BaseStripeObject] | None:
        """The stream of children that is made of the list of `stream` too."""
        return self._child.get(stream.NAME)

    def without_children(self, stream: type[BaseStripeObject], found: Json) -> Json:
        """An object of a shared page as the list of `stream` alone would show it."""
        child = self._child[stream.NAME]
        return {
            key: each for key, each in found.items() if not child.EMBEDDED_EXPANDED or key != child.EMBEDDED
        }

    def expansions(self, stream: type[BaseStripeObject]) -> Params:
        """What a page of parents is asked to expand, for a stream of children and for the parents' own."""
        parent = stream.PARENT
        own = list_params(parent) if parent is not None and parent.NAME in self._child else []
        return [*own, *embedded_params(stream)]

    async def read(
        self,
        stream: type[BaseStripeObject],
        account_id: str | None,  # noqa: ARG002 - the protocol has it, and here the key tells the account
        key: Hashable,
        read_page: Callable[[], Awaitable[Page]],
    ) -> Page:
        """The page that `key` stands for, from `read_page` where no copy of it is kept."""
        if stream.PARENT is None or stream.PARENT.NAME not in self._child:
            return await read_page()
        self._drop_old()
        if key not in self._copies:
            if key not in self._under_way:
                task = asyncio.ensure_future(self._keep(key, read_page))
                self._under_way[key] = task
                task.add_done_callback(lambda _: self._under_way.pop(key, None))
            await asyncio.shield(self._under_way[key])
        copy = self._copies.get(key)
        if copy is None:
            return await read_page()
        return replace(copy.page, objects=orjson.loads(copy.body))

    async def _keep(self, key: Hashable, read_page: Callable[[], Awaitable[Page]]) -> None:
        asked_time = asyncio.get_running_loop().time()
        page = await read_page()
        body = orjson.dumps(page.objects)
        until_time = asked_time + self._settings.shared_list_retention.total_seconds()
        self._copies[key] = _Copy(body, replace(page, objects=[]), until_time)
        self._bytes += len(body)
        while self._bytes > self._settings.shared_list_bytes and len(self._copies) > 1:
            self._drop_oldest()

    def _drop_old(self) -> None:
        now = asyncio.get_running_loop().time()
        while self._copies and next(iter(self._copies.values())).until_time <= now:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        copy = self._copies.pop(next(iter(self._copies)))
        self._bytes -= len(copy.body)
