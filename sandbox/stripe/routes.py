"""From a request to an answer: key, version, account, path, parameters, in Stripe's order and with Stripe's
errors.

A pure function of the request and the world, without a socket, so that a test may ask it directly.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import orjson

from sandbox.stripe import errors, facts, forms, lists, search, v2
from sandbox.stripe.errors import StripeError
from sandbox.stripe.expand import Asker, Expander, tree_of
from sandbox.stripe.filters import PAGING, Asked, Given, Json, Match, array, bounds, integer, single
from sandbox.stripe.keys import Key
from sandbox.stripe.kind import Kind
from sandbox.stripe.kinds import KINDS, NAMED, older
from sandbox.stripe.paths import Target, match, present, shape_at
from sandbox.stripe.rules import Act, Write, cards, rule_of
from sandbox.stripe.table import Entry, Table
from sandbox.stripe.versions import KNOWN
from sandbox.stripe.world import World
from sandbox.stripe.writes import parameters, written

WHOLE = 1_000_000
"""The limit of a list that is not paged."""
EVENTS = ("event", "v2.core.event")
"""The kinds that are kept for a month."""
KEYS = 10_000
"""How many Idempotency-Keys are remembered."""


@dataclass(frozen=True)
class Request:
    """`path` is as it was sent, encoded; `headers` have lower-case names, `query` and `form` are the decoded
    pairs in their order; `id` is what the events of a change name."""

    method: str
    path: str
    query: Sequence[tuple[str, str]] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    form: Sequence[tuple[str, str]] = ()
    id: str = "req_00000000000000"


@dataclass(frozen=True)
class Response:
    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class Deleted(Exception):
    """What is left of an object that was asked for."""

    def __init__(self, stub: bytes) -> None:
        super().__init__()
        self.stub = stub


@dataclass(frozen=True)
class Call:
    """A request whose key, version and account are known to be good."""

    request: Request
    key: Key
    version: str
    account: str


def acting_account(headers: Mapping[str, str]) -> str:
    """The account that a request is made for, "" where it names none: the end of the path in Stripe-Context,
    which takes the place of Stripe-Account."""
    context = headers.get("stripe-context")
    return context.rpartition("/")[2] if context else headers.get("stripe-account", "")


def _leads_down(key: Key, context: str | None) -> bool:
    """Whether a context can be the way from the key's owner to an account: with an organization's key it
    begins with the organization's account, with a platform's key it is the connected account."""
    if not context:
        return True
    first, *others = context.split("/")
    if key.is_organizations:
        return first == key.account and len(others) <= 1
    return not others


class Api:
    """Answers requests about a world. It remembers what it answered to an Idempotency-Key."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._answers: dict[tuple[str, str], tuple[Request, Response]] = {}

    def answer(self, request: Request) -> Response:
        headers = {"stripe-version": request.headers.get("stripe-version", self.world.api_version)}
        if account := acting_account(request.headers):
            headers["stripe-account"] = account
        try:
            return self._once(request, headers)
        except StripeError as found:
            error = v2.in_its_words(found) if request.path.startswith(v2.PATH) else found
            return Response(error.status, error.body(), headers)
        except Deleted as gone:
            return Response(200, gone.stub, headers)

    def _once(self, request: Request, headers: Mapping[str, str]) -> Response:
        """The answer, or the first one if the same was asked before. Only what began to happen counts."""
        name = request.headers.get("idempotency-key")
        if name is None or request.method != "POST":
            return Response(200, self._answer(request), headers)
        key = (acting_account(request.headers), name)
        if key in self._answers:
            first, answer = self._answers[key]
            if (first.path, first.form) != (request.path, request.form):
                raise errors.other_request()
            return replace(answer, headers={**answer.headers, "idempotent-replayed": "true"})
        try:
            answer = Response(200, self._answer(request), headers)
        except StripeError as error:
            if error.status != 402:
                raise
            answer = Response(error.status, error.body(), headers)
        self._answers[key] = (request, answer)
        if len(self._answers) > KEYS:
            del self._answers[next(iter(self._answers))]
        return answer

    def _answer(self, request: Request) -> bytes:
        call = self._admit(request)
        if request.path == "/v1/account" and request.method == "GET":
            self._permit(call, KINDS["account"])
            return self._accounts().by_id[call.account].body
        if request.path == "/v1/balance" and request.method == "GET":
            self._permit(call, KINDS["balance"])
            return self.world.balance(call.account)
        found = match(present(request.path))
        if found is None:
            raise errors.unrecognized_url(request.method, request.path)
        target, ids = found
        row, reads = target.kinds[0], request.method == "GET" and "GET" not in target.rules
        if request.path.startswith(v2.PATH):
            if "stripe-version" not in request.headers:
                raise errors.no_version()
            query = [*v2.asked(request.query, listed=not target.item)]
            call = replace(call, request=replace(request, query=query))
        gone = (row.gone_in and call.version >= row.gone_in) or facts.lacks(row.path, call.version)
        if gone or not target.takes(request.method):
            raise errors.unrecognized_url(request.method, request.path)
        self._permit(call, row)
        if not self.world.unavailable.isdisjoint((row.product, (call.account, row.product))):
            raise errors.not_set_up(row.product)
        if target.ops == "S":
            return self._search(call, row)
        home, parent = self._parent(call, target, ids)
        if target.lone:
            return self._lone(call, target, home, ids)
        if reads and not target.item:
            return self._list(call, target, home, parent)
        if reads:
            return self._read(call, self._entry(call, target, home, parent, ids[-1], "R"), home)
        return self._write(call, target, (home, parent, ids))

    # Who asks, and for whom

    def _admit(self, request: Request) -> Call:
        key = self.world.keys.check(_secret(request.headers.get("authorization", "")))
        if key.is_organizations:
            if "stripe-context" not in request.headers:
                raise errors.no_context()
            if "stripe-version" not in request.headers:
                raise errors.no_version()
        version = request.headers.get("stripe-version", self.world.api_version)
        if version not in KNOWN:
            raise errors.unknown_version(version)
        account = acting_account(request.headers) or key.account
        if not _leads_down(key, request.headers.get("stripe-context")):
            raise errors.no_access(key.secret, account)
        if account not in self._accounts().by_id or account in self.world.revoked:
            raise errors.no_access(key.secret, account)
        return Call(request, key, version, account)

    def _permit(self, call: Call, row: Kind) -> None:
        write = call.request.method != "GET"
        if not row.holders:
            self.world.keys.require(call.key, row.readable_with, call.account, write=write)

    def _accounts(self) -> Table:
        return self.world.table("account")

    def _parent(self, call: Call, target: Target, ids: Sequence[str]) -> tuple[str, str | None]:
        """Whose objects a path is about, and under which parent."""
        if target.kinds[0].name == "account":
            if call.account != self.world.platform:
                own = target.item and ids[-1] == call.account
                if not own:
                    raise errors.no_access(call.key.secret, ids[-1] if ids else call.account)
            if target.item and ids[-1] in self.world.revoked:
                raise errors.no_access(call.key.secret, ids[-1])
            return self.world.platform, None
        if not target.parent:
            return call.account, None
        parent = ids[-1] if target.part else ids[0]
        home = call.account
        if target.parent == "account":
            self._reach(call, parent)
            home = parent
        self._ask_parent(target, home, parent)
        return home, parent

    def _reach(self, call: Call, account: str) -> None:
        """Raises StripeError unless the caller may see the inside of an account."""
        if not account.startswith("acct_"):
            raise errors.missing("account", account, "account")
        strange = account not in self._accounts().by_id or account in self.world.revoked
        if strange or call.account not in (self.world.platform, account):
            raise errors.no_access(call.key.secret, account)
        if account in self.world.barred:
            raise errors.no_platform_controls()

    def _ask_parent(self, target: Target, home: str, parent: str) -> None:
        """Raises StripeError if there is no such parent, or if it does not show its children."""
        link = target.kinds[-1].parent
        kind = target.parent or (link.kind if link else "")
        table = self._accounts() if kind == "account" else self.world.table(kind, home)
        entry = table.find(parent)
        if entry is None:
            raise errors.missing(table.kind.object_name, parent, link.field if link else kind)
        if link and link.refuses and not target.part:
            count = sum(
                len(self.world.table(row.name, home).children.get(parent, ())) for row in target.kinds
            )
            if error := link.refuses(entry.data(), count):
                raise error

    # Lists

    def _list(self, call: Call, target: Target, home: str, parent: str | None) -> bytes:
        given = forms.grouped(call.request.query)
        paged = all(row.paged for row in target.kinds)
        is_v2 = call.request.path.startswith(v2.PATH)
        paging = v2.PAGING if is_v2 else PAGING if paged else frozenset(("expand",))
        known = {f.param for f in target.filters if f.param} | paging
        if unknown := [name for name in given if name not in known]:
            raise errors.unknown_parameters(unknown)
        expander = self._expander(call, target.kinds, _paths(given), home, listed=True)
        tables = [self.world.table(row.name, home) for row in self._chosen(target, given)]
        query = self._query(target, given, tables, home, parent, call.version)
        page = lists.page(tables, query)
        bodies = [expander.shown(entry) for entry in page.entries]
        if is_v2:
            last = page.entries[-1].key if page.has_more else None
            bodies = [_as_v2(target.kinds[0], body) for body in bodies]
            return v2.page(call.request.path, call.request.query, bodies, last)
        more = b"true" if page.has_more else b"false"
        url = orjson.dumps(call.request.path)
        return b'{"object":"list","data":[%b],"has_more":%b,"url":%b}' % (b",".join(bodies), more, url)

    def _search(self, call: Call, row: Kind) -> bytes:
        given = forms.grouped(call.request.query)
        if unknown := [name for name in given if name not in ("query", "limit", "page", "expand")]:
            raise errors.unknown_parameters(unknown)
        if "query" not in given:
            raise errors.missing_parameter("query")
        test = search.test_of(single("query", given["query"]))
        first = integer("page", single("page", given["page"])) if "page" in given else 0
        expander = self._expander(call, [row], _paths(given), call.account, listed=True)
        entries = self.world.table(row.name, call.account).order[::-1]
        found = [entry for entry in entries if test(entry.data())]
        last = first + _limit(given)
        bodies = [expander.shown(entry) for entry in found[first:last]]
        more, url = last < len(found), orjson.dumps(call.request.path)
        return b'{"object":"search_result","data":[%b],"has_more":%b,"next_page":%b,"url":%b}' % (
            b",".join(bodies),
            b"true" if more else b"false",
            b'"%d"' % last if more else b"null",
            url,
        )

    def _query(
        self,
        target: Target,
        given: Mapping[str, Given],
        tables: Sequence[Table],
        home: str,
        parent: str | None,
        version: str,
    ) -> lists.Query:
        limit = _limit(given) if all(row.paged for row in target.kinds) else WHOLE
        if "starting_after" in given and "ending_before" in given:
            raise StripeError(
                400, "You can only specify one of these parameters: starting_after, ending_before."
            )
        low, high = bounds("created", given["created"]) if "created" in given else (None, None)
        if target.kinds[0].name in EVENTS:
            low = max(low or 0, self.world.oldest_event())
        asked = Asked(frozenset(given), self.world.bare_prices)
        tests: list[tuple[int, Match]] = []
        for f in target.filters:
            if f.required and f.param not in given:
                raise errors.missing_parameter(f.param)
            link = target.kinds[-1].parent
            if link and f.param == link.field and f.param in given and (f.required or not link.named):
                named = single(f.param, given[f.param])
                self._ask_parent(target, home, named)
                if not link.named:
                    parent = named
                    continue
            if f.param in ("created", "object"):
                continue
            test = f.parse(f.param, given[f.param]) if f.param in given else f.unasked and f.unasked(asked)
            if test:
                tests.append((target.kinds[0].reads.index(f.read), test))
        return lists.Query(
            tests=tuple(tests),
            parent=parent,
            low=low,
            high=high,
            after=v2.key_of(single("page", given["page"]))
            if "page" in given
            else self._cursor("starting_after", given, tables, parent, version),
            before=self._cursor("ending_before", given, tables, parent, version),
            limit=limit,
        )

    def _chosen(self, target: Target, given: Mapping[str, Given]) -> Sequence[Kind]:
        """The kinds that a list of several shows: all, or those of the `object` asked for."""
        if len(target.kinds) == 1 or "object" not in given:
            return target.kinds
        value = single("object", given["object"])
        return [row for row in target.kinds if row.object_name == value]

    def _cursor(
        self,
        param: str,
        given: Mapping[str, Given],
        tables: Sequence[Table],
        parent: str | None,
        version: str,
    ) -> tuple[int, int] | None:
        if param not in given:
            return None
        id = single(param, given[param])
        for table in tables:
            entry = table.find(id) or _of_older_id(table, id, parent, version)
            if entry is None:
                continue
            if table.kind.name in EVENTS and entry.key[0] < self.world.oldest_event():
                raise errors.aged_out(id, param)
            return entry.key
        name = tables[0].kind.object_name if tables else "object"
        raise errors.missing(name, id, param, status=400)

    def _expander(
        self, call: Call, kinds: Sequence[Kind], paths: Sequence[str], home: str, *, listed: bool
    ) -> Expander:
        """What shows the objects of an answer as they are asked for."""
        asker = Asker(call.version, home, lambda row: self._permit(call, row), self.world.expandable_since)
        names = [row.object_name for row in kinds]
        return Expander(self.world, asker, tree_of(paths, names, asker, listed=listed))

    # Single objects

    def _entry(self, call: Call, target: Target, home: str, parent: str | None, id: str, op: str) -> Entry:
        """The object of a path. Raises StripeError if there is none, or one that was deleted."""
        first = target.kinds[0]
        if target.part and parent is not None:
            id, parent = self._part(target, home, parent), None
        for row in target.kinds:
            entry = self.world.table(row.name, home).find(id)
            if entry is None or (parent is not None and entry.parent != parent):
                continue
            if row.name not in EVENTS or entry.key[0] >= self.world.oldest_event():
                return entry
        stub = self.world.table(first.name, home).stubs.get(id)
        if stub is not None and op == "R":
            raise Deleted(stub)
        if first.name == "account":
            raise errors.no_access(call.key.secret, id)
        raise errors.missing(first.object_name, id, "id")

    def _part(self, target: Target, home: str, parent: str) -> str:
        """The id of the object that another one has: in a field of its own, or by its name in that object."""
        held = self.world.get(target.parent, parent, home).get(target.part)
        if isinstance(held, dict):
            return str(held["id"])
        table = self.world.table(target.kinds[0].name, home)
        naming = (each for each in reversed(table.order or [*table.by_id.values()]) if not each.hidden)
        found = next((each.id for each in naming if each.data().get(target.parent) == parent), None)
        if found is None:
            raise errors.missing(target.part, parent, target.parent)
        return found

    def _write(self, call: Call, target: Target, place: tuple[str, str | None, Sequence[str]]) -> bytes:
        home, parent, ids = place
        request, row, id = call.request, target.kinds[0], ""
        act = Act(self.world, home, self.world.clock.now())
        told = {"id": request.id, "idempotency_key": request.headers.get("idempotency-key")}
        with self.world.affecting(told):
            old: Json | None = None
            if target.item:
                entry = self._entry(call, target, home, parent, cards.as_method(act, ids[-1]), "U")
                row, id, old = entry.kind, entry.id, entry.data()
                act = act.under(old.get("test_clock"))
            form = [*request.form, *(request.query if request.method == "DELETE" else ())]
            given = parameters(act, row, request.method, shape_at(present(request.path)), form)
            expand = given.pop("expand", [])
            fields = written(self.world, row, facts.acting(row.object_name, target.verb, given), old, home)
            data = target.rules[request.method](Write(act, row, given, fields, id, parent))
        return self._shown(call, data, home, expand)

    def _lone(self, call: Call, target: Target, home: str, ids: Sequence[str]) -> bytes:
        """About an object that no list has. One without an id is where its path is."""
        request, row = call.request, target.kinds[0]
        schema = facts.schema(row.name)
        has_id = "required" not in schema or "id" in schema["properties"]
        key = f"{home} {ids[-1] if target.item else request.path}"
        kept = self.world.kept.get(key)
        if target.item and kept is None:
            raise errors.missing(row.name, ids[-1], "id")
        if request.method == "GET" and has_id and not target.item:
            return orjson.dumps({"object": "list", "data": [], "has_more": False, "url": request.path})
        if request.method == "DELETE":
            return orjson.dumps(self.world.kept.pop(key, {}) | {"deleted": True})
        act = Act(self.world, home, self.world.clock.now())
        given = parameters(act, row, request.method, shape_at(present(request.path)), request.form)
        given.pop("expand", None)
        fields, rule = written(self.world, row, given, kept, home), rule_of("create", row.name)
        if rule:
            fields = rule(Write(act, row, given, fields))
        data = kept | fields if kept else self.world.imagine(row, home, given, fields)
        if not has_id:
            data.pop("id", None)
        self.world.kept[f"{home} {data.get('id', request.path)}"] = data
        return orjson.dumps(data)

    def _shown(self, call: Call, data: Json, home: str, expand: Sequence[str]) -> bytes:
        """A written object as it is answered."""
        kinds = NAMED.get(data.get("object", ""), ())
        entries = (self.world.table(kind, home).by_id.get(data.get("id", "")) for kind in kinds)
        entry = next((each for each in entries if each is not None), None)
        if entry is None or data.get("deleted"):
            return orjson.dumps(data)
        return self._expander(call, [entry.kind], expand, home, listed=False).shown(entry)

    def _read(self, call: Call, entry: Entry, home: str) -> bytes:
        given = forms.grouped(call.request.query)
        if unknown := [name for name in given if name != "expand"]:
            raise errors.unknown_parameters(unknown)
        if entry.kind.unreadable and (error := entry.kind.unreadable(entry.data())):
            raise error
        body = self._expander(call, [entry.kind], _paths(given), home, listed=False).shown(entry)
        return _as_v2(entry.kind, body) if call.request.path.startswith(v2.PATH) else body


def _as_v2(row: Kind, body: bytes) -> bytes:
    return orjson.dumps(v2.shown(row, orjson.loads(body)))


def _paths(given: Mapping[str, Given]) -> list[str]:
    return array("expand", given["expand"]) if "expand" in given else []


def _of_older_id(table: Table, id: str, parent: str | None, version: str) -> Entry | None:
    """The last in a list of the objects that had this id in a version where several could have it."""
    if parent is None or not older.differs(table.kind.name, version):
        return None
    older_ids = (
        (one, older.rendered(table.kind.name, one.data(), version)["id"]) for one in table.children[parent]
    )
    return next((one for one, older_id in older_ids if older_id == id), None)


def _limit(given: Mapping[str, Given]) -> int:
    if "limit" not in given:
        return 10
    limit = integer("limit", single("limit", given["limit"], "integer"))
    if not 1 <= limit <= 100:
        bound = "greater than or equal to 1" if limit < 1 else "less than or equal to 100"
        raise StripeError(
            400, f"This value must be {bound}.", code="parameter_invalid_integer", param="limit"
        )
    return limit


def _secret(authorization: str) -> str:
    """The API key of an Authorization header, Bearer or Basic. Raises StripeError if there is none."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        return value.strip()
    if scheme.lower() == "basic":
        try:
            user = base64.b64decode(value, validate=True).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            user = ""
        if user:
            return user
    raise errors.no_key()
