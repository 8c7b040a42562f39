"""The old end of a list: where its oldest object is, for the progress of a backfill.

Lists are newest first, so that a backfill meets the oldest object last. Until then it may lie anywhere after
the start date:

    start                                   known                top
      |........ are there any objects? ........|--- objects -------|
      |.... none ....|.. newest? ..|                                   half of it a request

Each request asks for the newest object of the older half. It halves what is not known, or finds an object
that is older. That goes on until little is unknown, as compared with the time that the list spans.
"""

from source_stripe_native.errors import StripeError, is_refusal
from source_stripe_native.state.windows import Window
from source_stripe_native.stripe.client import Params
from source_stripe_native.stripe.pages import Source, range_params


async def find(source: Source, params: Params, window: Window, known: int) -> int | None:
    """The second before which the list of `window` that a backfill pages has no object: its own, or that of
    its parents. None where the list takes no creation times, or where its objects have none. There are
    objects from about the second `known` on."""
    stream = source.stream.PARENT or source.stream
    if stream is not source.stream and not source.stream.VARIANTS_OF_PARENT:
        params = stream.list_params()
    path = stream.list_path()
    start, end = window.start, known
    while end - start > max(1.0, source.settings.oldest_tolerance * (window.end - end)):
        older, _ = Window(start, end).halves()
        try:
            answer = await source.get(path, [*params, *range_params(stream, older), ("limit", "1")])
        except StripeError as error:
            if not is_refusal(error):
                raise
            source.log.debug("how old the objects of a list are cannot be asked", {"error": error.answer})
            return None
        if not source.refused.is_filtered(path, stream.CREATED_IN.names()):
            return None
        match answer.get("data"):
            case []:
                start = older.end
            case [{stream.CREATED: int(created)}, *_] if older.start <= created < older.end:
                end = created
            case _:
                return None
    return start
