"""Steps: what a page of a backfill consists of between two checkpoints.

Most pages are one step: their objects are documents as they are. A page grows by the children of its parents
and by what its objects lack. Its objects are then taken ten at a time, and a step ends with the ten, or
within them after `Settings.step_documents` or `Settings.step_bytes`:

    page of parents     p1 ... p10 | p11 ... p20 | ...   the token is that of the tenth
    children of p12     c1 ... c2000 | ...               the token is that of the step before

Rule: a step has the token at which a backfill goes on that ends after it. The rest of the page stays in
memory as bytes, and is not asked for again.
"""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace

from source_stripe_native.state.windows import Window
from source_stripe_native.streams.row import Document, Embedding
from source_stripe_native.stripe.client import Params
from source_stripe_native.stripe.documents import is_whole, stamp, to_document
from source_stripe_native.stripe.listings import listed_objects
from source_stripe_native.stripe.pages import Page, PageToken, Source
from source_stripe_native.stripe.wire import Packed


@dataclass
class Step:
    """Documents, and the token after them: None after the last step of the last page."""

    documents: Sequence[Document]
    token: PageToken | None
    is_last: bool = False


async def read_steps(
    source: Source,
    window: Window,
    params: Params,
    listed: Page,
    place: PageToken,
    embedding: Embedding | None,
) -> AsyncGenerator[Step, None]:
    """The steps of a page of the list of `window`, which begins at `place`."""
    stream, settings = source.stream, source.settings
    in_window_only = stream.UNDATED or not stream.LISTS_BY_CREATED
    is_list = stream.PARENT is None and embedding is None
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
        async for obj in listed_objects(
            source, window, params, some, in_window_only=in_window_only, embedding=embedding
        ):
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
