"""Shared lists: a page of a polled list is read once for all streams that are made of it.

Checkout sessions are documents of one stream and parents in another, and so are value lists. The first of the
two to poll reads the page, with what either of them wants expanded; the other gets a copy.

Limits: a copy is given out for `Settings.shared_list_retention`, and `Settings.shared_list_bytes` are kept in
all. Readers of a polled list allow for a copy of that age (see `list_feed`).
"""

import functools
from collections.abc import Hashable, Iterable
from dataclasses import replace

from source_stripe_native.settings import DEFAULTS, Settings
from source_stripe_native.streams.row import BaseStripeObject
from source_stripe_native.stripe.client import Json, Params
from source_stripe_native.stripe.expansions import embedded_params, list_params
from source_stripe_native.stripe.pages import Page, ReadPage, Source, packed
from source_stripe_native.stripe.readings import Readings


class SharedLists:
    """The lists that more than one of `streams` polls."""

    def __init__(self, streams: Iterable[type[BaseStripeObject]] = (), settings: Settings = DEFAULTS) -> None:
        polled = {stream.NAME: stream for stream in streams if stream.POLLS}
        self._child = {
            stream.PARENT.NAME: stream
            for stream in polled.values()
            if stream.PARENT is not None and stream.PARENT.NAME in polled
        }
        """The stream of children that shares a list, by the name of the list's own stream."""
        self._copies = Readings[Page](
            settings.shared_list_retention, settings.shared_list_bytes, lambda copy: copy.size
        )

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

    async def read(self, source: Source, key: Hashable, read_page: ReadPage) -> Page:
        """The page that `key` stands for, from `read_page` where no copy of it is kept."""
        parent = source.stream.PARENT
        if parent is None or parent.NAME not in self._child:
            return await read_page(source)
        copy = await source.shared(self._copies, key, functools.partial(_copy, read_page))
        source.count(copy.size)
        return replace(copy, objects=[*copy.objects])


async def _copy(read_page: ReadPage, source: Source) -> Page:
    return packed(await read_page(source))
