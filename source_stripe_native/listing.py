"""The only place that pages a Stripe list.

Lists are newest first and paged by `starting_after`, the id of the last object seen ("Pagination"). A page
token is what a checkpoint keeps between two pages: the id as it is, or, where the object tells when it was
created, JSON of both. The time is the way on when the object itself is deleted in between: the list then goes
on from that second, all of it again rather than any of it skipped. It is also the way to begin further down.
"""

import contextlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from logging import Logger
from typing import Final

import orjson
from pydantic import ValidationError

from source_stripe_native.errors import PAGE_CURSOR_GONE, PERMISSION_MISSING, ConnectorError, StripeError
from source_stripe_native.http import Json, Params, StripeSession
from source_stripe_native.models import BaseStripeObject, Events, ListEnvelope
from source_stripe_native.window import Window

PAGE_SIZE: Final = 100
"""Objects on a page, the most that Stripe gives."""
SHOWN: Final = 3
"""Mistakes of a list that are named in the error about it."""


def lacking(permission: str, error: StripeError) -> str:
    """What to do about a `permission`, as Stripe's dashboard calls it, that the key lacks."""
    return (
        f"the API key lacks the read permission '{permission}': grant it in Stripe's dashboard (Developers > "
        f"API keys > edit key), or use a secret key. (Stripe: {error.stripe_message})"
    )


@dataclass(frozen=True)
class Source:
    """One stream of one account, as read over one session.

    `account_id` is stamped on the documents; `connected_account_id` is the account to act as, None for the
    key's own. `is_one_of_many` says that each account is read for itself, so that this one stands for no
    other; `background` that its requests give precedence to others.
    """

    http: StripeSession
    log: Logger
    stream: type[BaseStripeObject]
    account_id: str | None
    connected_account_id: str | None
    is_one_of_many: bool = False
    background: bool = False

    @property
    def path(self) -> str:
        return f"/v1/{self.stream.SEARCH_NAME}"

    async def get(self, path: str, params: Params = ()) -> Json:
        try:
            return await self.http.get(
                self.log,
                path,
                params,
                account_id=self.connected_account_id,
                background=self.background,
            )
        except StripeError as error:
            if PERMISSION_MISSING.matches(error):
                raise ConnectorError(
                    f"{self.stream.NAME}: {lacking(self._permission(path), error)}"
                ) from None
            raise error.named(self.stream.NAME) from None

    def _permission(self, path: str) -> str:
        """What reading `path` takes: the stream's own permission, but for events and for its parents."""
        for each in (Events, self.stream.PARENT):
            if each is not None and path in (f"/v1/{each.SEARCH_NAME}", f"/v1/{each.UNLISTED}"):
                return each.PERMISSION
        return self.stream.PERMISSION


@dataclass(frozen=True)
class PageToken:
    """Where a list goes on: after the object `after`, which was created at `created` (Unix seconds, if
    told). Without an object: with what was created in that second or before."""

    after: str | None
    created: int | None = None

    @classmethod
    def after_object(cls, last: Json, field: str = "created") -> "PageToken":
        """`field` is where the object tells when it was created."""
        created = last.get(field)
        return cls(last["id"], created if isinstance(created, int) else None)

    @classmethod
    def parse(cls, text: str) -> "PageToken":
        """Reads both forms. Any other text is an id as it is: users choose some, and may begin one with a
        brace."""
        if text.startswith("{"):
            with contextlib.suppress(orjson.JSONDecodeError):
                match orjson.loads(text):
                    case {"after": str(after), "created": int() | None as created}:
                        return cls(after, created)
                    case {"after": None, "created": int(created)}:
                        return cls(None, created)
        return cls(text)

    def __str__(self) -> str:
        if self.after is not None and self.created is None and not self.after.startswith("{"):
            return self.after
        return orjson.dumps({"after": self.after, "created": self.created}).decode()


@dataclass(frozen=True)
class Page:
    """Objects newest first, and the token of the next page, None on the last one."""

    objects: list[Json]
    next: PageToken | None


def range_params(window: Window) -> list[tuple[str, str]]:
    """What was created in `window`."""
    return [("created[gte]", str(window.start)), ("created[lt]", str(window.end))]


def admits(stream: type[BaseStripeObject], found: Json, window: Window) -> bool:
    """Whether the object was created in `window`, as far as it tells."""
    created = found.get(stream.CREATED)
    return not isinstance(created, int) or window.start <= created < window.end


async def read_page(
    source: Source, path: str, params: Iterable[tuple[str, str]], token: PageToken | None
) -> Page:
    """One page of the list at `path`. Raises StripeError, and ConnectorError for a body that is not a
    list."""
    params = [*params, ("limit", str(PAGE_SIZE))]
    if token is None:
        return _page(source, path, await source.get(path, params))
    if token.after is None:
        return _page(source, path, await source.get(path, _from_second(params, token.created)))
    try:
        body = await source.get(path, [*params, ("starting_after", token.after)])
    except StripeError as error:
        if not PAGE_CURSOR_GONE.matches(error):
            raise
    else:
        return _page(source, path, body, token)
    source.log.warning(
        "the object that this list was to go on after is gone: going on from the second it was created in, "
        "or from the top of the list where that is not known",
        {"path": path, "after": token.after, "created": token.created},
    )
    return _page(source, path, await source.get(path, _from_second(params, token.created)))


def _from_second(params: Params, created: int | None) -> Params:
    """`params` for what was created at `created` or before, where the list takes a range."""
    if created is None or not any(name.startswith("created[") for name, _ in params):
        return params
    return [*(pair for pair in params if pair[0] != "created[lt]"), ("created[lt]", str(created + 1))]


async def read_pages(
    source: Source, path: str, params: Iterable[tuple[str, str]]
) -> AsyncIterator[list[Json]]:
    """Every page of the list at `path`, to its end."""
    params, token = list(params), None
    while True:
        page = await read_page(source, path, params, token)
        yield page.objects
        if page.next is None:
            return
        token = page.next


def _page(source: Source, path: str, body: Json, token: PageToken | None = None) -> Page:
    answer = f"{source.stream.NAME}: Stripe's answer to GET {path} for account {source.account_id}"
    advice = "Start the capture again, and report this line if that does not help."
    try:
        envelope = ListEnvelope.model_validate(body)
    except ValidationError as error:
        wrong = ", ".join(
            ".".join(map(str, each["loc"])) for each in error.errors(include_input=False)[:SHOWN]
        )
        raise ConnectorError(f"{answer} is not a list, as {wrong} is missing or wrong. {advice}") from None
    if not envelope.has_more:
        return Page(envelope.data, None)
    last_id = envelope.data[-1].get("id") if envelope.data else None
    if not isinstance(last_id, str) or (token is not None and token.after == last_id):
        raise ConnectorError(f"{answer} has more, but no new id at its end to go on after. {advice}")
    field = source.stream.CREATED if path == source.path else "created"
    return Page(envelope.data, PageToken.after_object(envelope.data[-1], field))
