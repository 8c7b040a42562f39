"""Steps: what a page of a backfill consists of between two checkpoints.

Most pages are one step: their objects are documents as they are. A page grows by the children of its parents
and by what its objects lack. Its objects are then taken ten at a time, and a step ends with the ten, or
within them after `Settings.step_documents` or `Settings.step_bytes`:

    page of parents     p1 ... p10 | p11 ... p20 | ...   the token is that of the tenth
    children of p12     c1 ... c2000 | ...               the token is that of the step before

Rule: a step has the token at which a backfill goes on that ends after it. The rest of the page stays in
memory as bytes, and is not asked for again.
"""

import asyncio
import math
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field, replace
from logging import Logger

from estuary_cdk.capture.common import LogCursor, PageCursor

from source_stripe_native.backfill.page_loop import PageHooks
from source_stripe_native.backfill.superseded import SupersededIds
from source_stripe_native.events import due_days
from source_stripe_native.events.list_memory import ListMemories
from source_stripe_native.events.snapshots import unsettled
from source_stripe_native.state.parts import cursor_time
from source_stripe_native.state.windows import FOREVER, Window, floor
from source_stripe_native.streams.row import Document, Embedding
from source_stripe_native.stripe.client import Json, Params
from source_stripe_native.stripe.documents import is_whole, stamp, to_document
from source_stripe_native.stripe.listings import Listing
from source_stripe_native.stripe.pages import Page, PageToken, Source
from source_stripe_native.stripe.rate_limit import Priority
from source_stripe_native.stripe.shared_pages import SharedPages
from source_stripe_native.stripe.wire import Packed


@dataclass
class Step:
    """Documents, and the token after them: None after the last step of the last page."""

    documents: Sequence[Document]
    token: PageToken | None
    is_last: bool = False


async def read_steps(listing: Listing, listed: Page, place: PageToken) -> AsyncGenerator[Step, None]:
    """The steps of a page of the listing, which begins at `place`."""
    source, stream, settings = listing.source, listing.source.stream, listing.source.settings
    in_window_only = stream.UNDATED or not stream.LISTS_BY_CREATED
    is_list = stream.PARENT is None and listing.embedding is None
    if is_list and not in_window_only and all(is_whole(source, obj) for obj in listed.objects):
        documents = [stamp(source, obj, stream.BACKFILL_OP) for obj in listed.objects]
        yield Step(documents, listed.next, is_last=True)
        return
    objects, at_once = Packed(listed.objects), settings.concurrent_parents
    rest, requests = Packed(), source.workload.requests
    listed = replace(listed, objects=[])
    for first in range(0, len(objects), at_once):
        # As bytes, since what is completed is many times larger.
        some = replace(listed, objects=objects[first : first + at_once])
        async for obj in listing.objects(some, in_window_only=in_window_only):
            rest.append(await to_document(source, obj, stream.BACKFILL_OP))
            if len(rest) >= settings.step_documents or rest.size >= settings.step_bytes:
                yield Step(rest, place)
                rest, requests = Packed(), source.workload.requests
        if listed.is_divisible:
            field = stream.CREATED if is_list or listed.without_parent else "created"
            place = replace(
                PageToken.after_object(some.objects[-1], field), without_parent=listed.without_parent
            )
        if source.workload.requests > requests and first + at_once < len(objects):
            yield Step(rest, place)
            rest, requests = Packed(), source.workload.requests
    yield Step(rest, listed.next, is_last=True)


@dataclass(frozen=True)
class Backfill:
    """The backfill of one list of a stream and account, from the second `start` on. Made by a binding for
    each variant, and read page by page by the loops.

    A step of a page is read whole before any of it is yielded, and objects that were captured since the
    page's request are left out: nothing is awaited from then on until the caller's checkpoint. A page that
    grows takes several steps, with a cursor after each. The bytes of a step are reserved from before its
    first request until after that checkpoint."""

    source: Source
    start: int
    params: Params
    """The query parameters that select a variant."""
    embedding: Embedding | None = None
    """Where objects are found that no endpoint lists."""
    superseded: SupersededIds = field(default_factory=SupersededIds)
    """What the incremental task captures."""
    hooks: PageHooks | None = None
    """Called before and after a page is read. They may send the backfill elsewhere. Without them nothing
    after the cutoff is read, in test mode too."""
    memories: ListMemories = field(default_factory=ListMemories)
    """What remembers the objects of a list that is compared as a whole, or that change by the clock."""
    sharing: SharedPages | None = None
    """Who has the pages of parents that several streams are made of."""

    async def fetch(
        self, log: Logger, page: PageCursor | None, cutoff: LogCursor
    ) -> AsyncGenerator[Document | str, None]:
        """The page at the cursor `page`, then the cursor of the next page unless it was the last."""
        cls, http = self.source.stream, self.source.http
        window = Window(self.start, floor(cursor_time(cutoff)) + 1)
        # In test mode, the objects of a test clock are dated by that clock, which may be ahead.
        read = Window(window.start, FOREVER) if http.is_test and self.hooks else window
        top, end = PageToken(None, window.end - 1), PageToken(None, window.start - 1)
        token = None if page is None else PageToken.parse(str(page))
        if self.hooks is not None:
            token = await self.hooks.before_page(token)
        with (
            await http.page_budget.reserve(cls.NAME, http.settings.page_bytes) as held,
            self.superseded.recording(self.source.key) as captured,
        ):
            source = replace(self.source, log=log, priority=Priority.BACKFILL, reservation=held)
            asked_time = asyncio.get_running_loop().time()
            listing = Listing(source, read, self.params, self.embedding, cls.UNDATED, self.sharing)
            listed = Page([], None)
            if token != end:
                listed = await listing.page(None if token == top else token)
            asked_time = asked_time if listed.asked_time is None else listed.asked_time

            def is_new(obj: Json) -> bool:
                return captured.get(cls.identity(obj), -math.inf) < asked_time

            steps = read_steps(listing, listed, token or top)
            first, documents, has_cursor = replace(listed, objects=listed.objects[:1]), 0, False
            # A checkpoint may take long, and the objects are not needed for it.
            del listed
            async for step in steps:
                token, is_last = step.token, step.is_last
                if is_last:
                    await steps.aclose()
                await self._remember(source, step.documents)
                held.commit()
                documents += len(step.documents)
                if token is None and has_cursor and not any(map(is_new, step.documents)):
                    # The caller takes a cursor without a document after it for one of a page to come.
                    token = end
                if is_last and self.hooks is not None:
                    self.hooks.after_page(replace(first, next=token), window, documents)
                for document in step.documents:
                    if is_new(document):
                        yield document
                    del document
                del step
                if token is not None:
                    yield str(token)
                    has_cursor = True
                    if is_last:
                        held.release()
                    else:
                        await held.renew()

    async def _remember(self, source: Source, objects: Sequence[Json]) -> None:
        """Remembers objects that are about to be captured, as far as the row asks for it."""
        stream = source.stream
        if stream.SNAPSHOTS:
            unknown = {stream.identity(obj): unsettled(stream, obj) for obj in objects}
            await self.memories.remember(source, unknown)
        await self.memories.remember(source, due_days.days_of(source, objects), due_days.merged)
