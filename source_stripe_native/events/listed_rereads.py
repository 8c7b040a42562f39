"""Listed rereads: changed objects that were created lately are read again together, through their list.

Many changes are of objects that are as young as the change: a payment, a new customer. A page of the list
shows a hundred of them as they are now, where each would cost a request of its own.

    created    |- older: a request each -|--- page ---|--- page ---|
                                     fewer than `Settings.least_listed` on the page before

The list is read newest first, and only for as long as each page shows enough of the objects.
"""

import asyncio
from collections.abc import Iterable

from source_stripe_native.errors import StripeError, is_refusal
from source_stripe_native.state.windows import Window
from source_stripe_native.stripe.client import Json
from source_stripe_native.stripe.listings import Listing
from source_stripe_native.stripe.pages import Source


class ListedRereads:
    """Some of the objects that are to be read again: `objects` as their events carry them. Made for a batch
    of changes. Nothing is read before the first object is asked for."""

    def __init__(self, source: Source, objects: Iterable[Json]) -> None:
        stream = source.stream
        self._source = source
        # A stream of several variants has no list that is known to show every object.
        has_list = stream.LISTS_BY_CREATED and list(stream.VARIANTS) == [""] and not stream.found_through()
        self._wanted = {
            str(obj["id"]): created
            for obj in objects
            if has_list and isinstance(created := obj.get(stream.CREATED), int)
        }
        if len(self._wanted) < source.settings.least_listed:
            self._wanted = {}
        self._shown: dict[str, Json] | None = None
        self._lock = asyncio.Lock()

    async def get(self, object_id: str) -> Json | None:
        """The object as its list shows it now, None where it was not looked for there. Raises as requests
        do, but for a refusal."""
        if object_id not in self._wanted:
            return None
        async with self._lock:
            if self._shown is None:
                self._shown = await self._read()
        return self._shown.pop(object_id, None)

    async def _read(self) -> dict[str, Json]:
        source, wanted, all_shown = self._source, self._wanted, dict[str, Json]()
        window = Window(min(wanted.values()), max(wanted.values()) + 1)
        try:
            async for page in Listing(source, window, source.stream.list_params()).pages():
                shown = {str(obj["id"]): obj for obj in page.objects if obj["id"] in wanted}
                all_shown |= shown
                if len(shown) < source.settings.least_listed:
                    break
        except StripeError as error:
            if not is_refusal(error):
                raise
        return all_shown
