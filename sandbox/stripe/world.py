"""The state of a local Stripe: accounts, objects and events under one clock, changed by plain method calls.

Deterministic: one seed and the same calls give the same ids and the same objects. No I/O, and not thread
safe: the server answers from the world in the thread that changes it."""

import heapq
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from random import Random
from typing import Any, Final, Literal
from urllib.parse import quote

import orjson

from sandbox.stripe import facts, includes, lists, v2
from sandbox.stripe.clock import Clock
from sandbox.stripe.filters import Asked, Json
from sandbox.stripe.filters import at as at_path
from sandbox.stripe.keys import Keys
from sandbox.stripe.kind import ABSENT, Draft, Holder, Kind, Nested, fill, merge, previous
from sandbox.stripe.kinds import CHILDREN, HELD, KINDS, older
from sandbox.stripe.kinds.core import RETENTION
from sandbox.stripe.table import Entry, Key, Table, key_of
from sandbox.stripe.versions import LATEST

PLATFORM = "acct_1SandboxPlatform"
NESTED = 10
"""How many children Stripe shows inside their parent."""
RARE = 0.5
"""How often a random change makes an object of a rarer variant, where its kind has some."""


@dataclass(frozen=True)
class Change:
    """How a change is told: when it happens (Unix seconds), whether by an event, how many seconds later the
    event shows up, and in which API version it is rendered."""

    at: int
    event: bool = True
    visible_after: float = 0
    api_version: str = LATEST


_OPTIONS: Final = frozenset(each.name for each in fields(Change))


class World:
    """`now` freezes the clock at a Unix time, None lets it run. `bare_prices` is what /v1/prices answers with
    when it is not asked for `active`: Stripe's documentation says active prices, observation says both.
    `unordered` lists the events of one second in any order, as Stripe may. `escaped_urls` escapes the ids in
    the `url`s of lists inside objects. `effects`: a change also changes the objects that it concerns, which
    have no event of that (`Kind.effects` and `Kind.pulls`). `expandable_since` has API versions by field
    (`price.tiers`): before that version the field cannot be expanded.

    Every change takes these options beside the object's fields:
    `account`: whose object it is, by default the platform's (children of an account: that account's);
    `event=False`: it makes no event;
    `visible_after`: the seconds on the world's clock after which its events can be read;
    `api_version`: the version that its events are rendered in;
    `at`: the Unix time at which it happens, by default now (or, for a new object, its `created` if given).

    These sets may be changed at any time. Put a product (`issuing`) in `unavailable`, and no account is set
    up to use it; put (account, product) there for one account. An account in `revoked` is listed, and
    refuses every request for it. One in `barred` keeps its persons and external accounts from the platform.
    `kept` has, by an object's id, what was asked of it and no field shows. `listeners` are called with each
    event of /v1/, and the account that it is of.

    Raises KeyError for a kind, an account or an object that does not exist.
    """

    def __init__(
        self,
        seed: int = 0,
        now: int | None = None,
        *,
        api_version: str = LATEST,
        bare_prices: Literal["active", "both"] = "active",
        livemode: bool = False,
        platform: str = PLATFORM,
        unordered: bool = False,
        escaped_urls: bool = False,
        effects: bool = False,
        expandable_since: Mapping[str, str] | None = None,
    ) -> None:
        self.rng = Random(seed)
        self.clock = Clock(now)
        self.api_version = api_version
        self.bare_prices = bare_prices
        self.livemode = livemode
        self.unordered = unordered
        self.escaped_urls = escaped_urls
        self.effects = effects
        self.expandable_since = dict(expandable_since or {})
        self.platform = platform
        self.unavailable: set[str | tuple[str, str]] = set()
        self.revoked: set[str] = set()
        self.barred: set[str] = set()
        self.kept: dict[str, Json] = {}
        self.listeners: list[Callable[[str, Json], None]] = []
        self.keys = Keys(platform, livemode, frozenset(row.readable_with for row in KINDS.values()))
        self._sequence = itertools.count()
        self._tables: dict[str, dict[str, Table]] = {platform: {}}
        self._late: list[tuple[float, int, Table, Entry]] = []
        self._hidden: list[tuple[float, int, Table, str, str, bool]] = []
        self._pulled: set[str] = set()
        self._request: Json = {"id": None, "idempotency_key": None}
        self._told_at: int | None = None
        self._pulling = True
        self.create(
            "account",
            id=platform,
            event=False,
            listed=False,
            created=ABSENT,
            controller={"type": "account"},
            external_accounts=ABSENT,
            type="standard",
        )

    @property
    def key(self) -> str:
        """A secret key of the platform that may do everything."""
        return self.keys.default

    def restrict(self, permissions: Iterable[str]) -> str:
        """A restricted key that can read these resources only (`price`, `customer`, ...: see
        `Kind.readable_with`)."""
        return self.keys.restrict(permissions)

    @property
    def accounts(self) -> list[str]:
        """The ids of all accounts, the platform's first."""
        return list(self._tables)

    def connect(self, **fields: Any) -> Json:
        """A new connected account."""
        return self.create("account", event=False, **fields)

    # What there is

    def table(self, kind: str, account: str | None = None) -> Table:
        """The objects of a kind in an account. What is due by now can be read in it."""
        if self._late or self._hidden:
            self._settle()
        tables = self._tables[account or self.platform]
        if kind not in tables:
            tables[kind] = Table(KINDS[kind])
        return tables[kind]

    def get(self, kind: str, id: str, account: str | None = None) -> Json:
        """The object as it is now, without expansions. Raises KeyError if it does not exist (any more)."""
        return self.table(kind, self._home(KINDS[kind], account)).by_id[id].data()

    def whole(self, kind: str, id: str, account: str | None = None) -> Json:
        """As `get`, with the fields of its own that Stripe shows only when they are expanded."""
        return self.table(kind, self._home(KINDS[kind], account)).by_id[id].whole()

    def look(self, account: str) -> older.Look:
        """What finds objects for those that older versions show otherwise."""

        def find(kind: str, id: str) -> Json | None:
            if kind == "kept":
                return self.kept.get(id)
            entry = self.table(kind, account).by_id.get(id)
            return None if entry is None else entry.data()

        return find

    def list_all(self, kind: str, account: str | None = None) -> list[Json]:
        """Every object that exists, newest first, whether a list would show it or not (archived, canceled,
        inline)."""
        entries = self.table(kind, self._home(KINDS[kind], account)).by_id.values()
        return [entry.data() for entry in sorted(entries, key=lambda entry: entry.key, reverse=True)]

    def events(self, account: str | None = None) -> list[Json]:
        """Every event that was made, newest first: those not visible yet and those aged out, too."""
        made = list(self.table("event", account).by_id.values())
        made += [entry for _, _, table, entry in self._late if table is self.table("event", account)]
        return [entry.data() for entry in sorted(made, key=lambda entry: entry.key, reverse=True)]

    def nested(self, nested: Nested, parent: str, account: str) -> Json:
        """The list object of a parent's children, as Stripe shows it inside the parent."""
        tables = [self.table(kind, account) for kind in nested.kinds]
        asked = Asked(frozenset(), self.bare_prices)
        tests = tuple(
            (tables[0].kind.reads.index(f.read), test)
            for f in tables[0].kind.filters
            if f.param in nested.narrowed and f.unasked and (test := f.unasked(asked))
        )
        shown = lists.page(tables, lists.Query(tests=tests, parent=parent, limit=NESTED))
        return {
            "object": "list",
            "data": [entry.data() for entry in shown.entries],
            "has_more": shown.has_more,
            "url": nested.url.format(id=quote(parent, safe="") if self.escaped_urls else parent),
        }

    def balance(self, account: str | None = None) -> bytes:
        """The account's balance as Stripe answers: it has no id."""
        home = account or self.platform
        order = self.table("balance", home).order
        if not order:
            self.create("balance", home, event=False)
        return _bytes(without_id(self.table("balance", home).order[-1].data()))

    def oldest_event(self) -> int:
        """The creation time before which events are gone."""
        return self.clock.now() - RETENTION

    # Changes

    def create(
        self,
        kind: str,
        /,
        account: str | None = None,
        *,
        id: str | None = None,
        listed: bool = True,
        listed_after: float = 0,
        **fields: Any,
    ) -> Json:
        """Make an object: the kind's template with `fields` merged over it. A nested list's name with a
        number makes that many children with it (`lines=25`), a place for discounts that many discounts
        (`discounts=2`). `listed=False` makes it one that no list ever shows, such as an inline price.
        `listed_after`: requests find it only so many seconds after it is made, whenever its event can be
        read. Returns what Stripe shows without expansions. Raises ValueError if the id is taken."""
        row = KINDS[kind]
        stamp = fields.get(row.created)
        change = self._change(fields, stamp if isinstance(stamp, int) else None)
        at = change.at
        new_id = id or row.new_id(self.rng)
        home, parent = self._place(row, account, fields, change)
        table = self.table(kind, home)
        if new_id in table.by_id:
            raise ValueError(f"{kind} {new_id} exists already")
        counts = {
            n: fields.pop(n.field, n.made) for n in row.nested if isinstance(fields.get(n.field, 0), int)
        }
        held = {
            place: fields.pop(place) for place in HELD.get(kind, {}) if isinstance(fields.get(place), int)
        }
        teller = new_id if kind == "account" else home
        data = self._build(row, new_id, home, teller, fields, change)
        for place, count in held.items():
            data[place] = self._held(kind, place, data, home, count, change)
        for nested in row.nested if self.escaped_urls and teller in self._tables else ():
            if isinstance(data.get(nested.field), dict):
                data[nested.field] = self.nested(nested, new_id, teller)
        if kind == "account":
            self._tables.setdefault(new_id, {})
        key = (_created(row, data, at), next(self._sequence))
        hidden = listed_after > 0
        self._write(table, data, key, parent, listed and not hidden, hidden)
        if hidden:
            due = (at + listed_after, key[1], table, new_id, home, listed)
            heapq.heappush(self._hidden, due)
        for nested, count in counts.items():
            for _ in range(count):
                self._adopt(KINDS[nested.kinds[0]], teller, new_id, at)
        self._pull(row, data, home, change)
        data = table.by_id[new_id].whole()
        self._affect(row, home, None, data, change)
        self._tell(row, teller, None, data, change)
        self._tell_parent(row, home, parent, None, data, change)
        self._hold(row, home, None, data, change)
        return table.by_id[new_id].data()

    def imagine(self, row: Kind, account: str, given: Json, fields: Json) -> Json:
        """An object that no list has: of `fields`, or of all that is given if none are documented."""
        change = self._change({"event": False})
        link = {"url": f"https://{row.name}.example.com"} if row.name.endswith(("_link", ".session")) else {}
        shown = (
            fields
            if "required" in facts.schema(row.name)
            else {"created": change.at, "livemode": self.livemode, **link, **given}
        )
        data = self._build(
            row, fields.get("id") or row.new_id(self.rng), account, account, dict(shown), change
        )
        if f"{row.name}.created" in facts.event_types():
            self.announce(f"{row.name}.created", data, account)
        return data

    def update(self, kind: str, id: str, /, account: str | None = None, **changes: Any) -> Json:
        """Merge `changes` into an object. If nothing differs, nothing happens. Returns what Stripe shows
        without expansions."""
        row = KINDS[kind]
        home = self._home(row, account)
        entry, change = self.table(kind, home).by_id[id], self._change(changes)
        old = entry.whole()
        new: Json = {k: v for k, v in merge(old, changes).items() if v is not ABSENT}
        if new == old:
            return entry.data()
        if row.derive:
            row.derive(new, change.at)
        link = row.parent
        parent = new.get(link.field) if link and link.named else entry.parent
        key = (_created(row, new, entry.key[0]), entry.key[1])
        self._write(self.table(kind, home), new, key, parent, entry.listed, entry.hidden)
        self._affect(row, home, old, new, change)
        self._copy(row, home, id)
        self._tell(row, id if kind == "account" else home, old, new, change)
        for parent_id in dict.fromkeys((entry.parent, parent)):
            self._tell_parent(row, home, parent_id, old, new, change)
        self._hold(row, home, old, new, change)
        return self.table(kind, home).by_id[id].data()

    def archive(self, kind: str, id: str, /, account: str | None = None, **options: Any) -> Json:
        """Set `active` to false. Raises ValueError for a kind that has no such field."""
        if "active" not in KINDS[kind].fields:
            raise ValueError(f"a {kind} cannot be archived: it has no `active`")
        return self.update(kind, id, account, active=False, **options)

    def delete(self, kind: str, id: str, /, account: str | None = None, **options: Any) -> Json:
        """Remove an object and its children, each with its own event, and return Stripe's stub of it. A kind
        that is canceled instead (subscriptions) stays, and is returned whole."""
        row = KINDS[kind]
        home = self._home(row, account)
        if row.cancels is not None:
            now = self.clock.now()
            options |= {name: now if value == "now" else value for name, value in row.cancels.items()}
            return self.update(kind, id, home, **options)
        table = self.table(kind, home)
        entry = table.by_id[id]
        teller = id if kind == "account" else home
        table.remove(id)
        for child in CHILDREN[kind]:
            inside = self.table(child.name, teller)
            hidden = (one for one in inside.by_id.values() if one.hidden and one.parent == id)
            for one in [*inside.children.get(id, ()), *hidden]:
                self.delete(child.name, one.id, teller, **options)
        change = self._change(options)
        self._release(row, id, home, change)
        stub: Json = {"id": id, "object": row.object_name, "deleted": True}
        if row.stub:
            table.stubs[id] = orjson.dumps(stub)
        data = entry.whole()
        self._affect(row, home, data, None, change)
        self._tell(row, teller, data, None, change)
        self._tell_parent(row, home, entry.parent, data, None, change)
        self._hold(row, home, data, None, change)
        if kind == "account":
            del self._tables[id]
        return stub

    def tell(self, type: str, kind: str, id: str, /, account: str | None = None, **options: Any) -> None:
        """Make an event of any type about an object as it is, for a change that is not modelled."""
        row = KINDS[kind]
        home, change = self._home(row, account), self._change(options)
        whole = self._without(row, home, self.whole(kind, id, home), change.api_version)
        data = older.rendered(kind, whole, change.api_version, self.look(home))
        self._make_event(type, id if kind == "account" else home, {"object": data}, change)

    def announce(
        self,
        type: str,
        data: Json | None,
        /,
        account: str | None = None,
        *,
        previous: Json | None = None,
        **options: Any,
    ) -> None:
        """Make an event of any type that carries `data`, which need not be an object of the world, and
        `previous` as its earlier attributes."""
        change = self._change(options)
        content: Json = {"object": data} | ({"previous_attributes": previous} if previous else {})
        self._make_event(type, account or self.platform, content, change)

    def open_dispute(self, charge: str, account: str | None = None, **fields: Any) -> Json:
        """A dispute of a charge, whose events alone tell that the charge is disputed."""
        with self.affecting():
            return self.create("dispute", account, charge=charge, **fields)

    def open_review(self, charge: str, account: str | None = None, **fields: Any) -> Json:
        """A review of a charge, and of its payment intent if that is given."""
        with self.affecting():
            return self.create("review", account, charge=charge, **fields)

    def discount(
        self,
        customer: str,
        coupon: str,
        subscription: str | None = None,
        account: str | None = None,
        **options: Any,
    ) -> Json:
        """Put a coupon on a customer, or on one subscription of it, in place of the coupon that is there.
        `delete` the discount to take it off."""
        source = {"coupon": coupon}
        there = [
            each["id"]
            for each in self.list_all("discount", account)
            if (each["customer"], each["subscription"]) == (customer, subscription)
            and not self._muted(KINDS["discount"], each)
        ]
        with self.affecting():
            if there:
                return self.update("discount", there[0], account, source=source, **options)
            fields: Json = {"customer": customer, "subscription": subscription, "source": source}
            return self.create("discount", account, **fields, **options)

    def pull_items(self, invoice: str, account: str | None = None, **options: Any) -> Json:
        """Put the pending items of an invoice's customer on the invoice that exists; one that is made does so
        by itself in a world with `effects`."""
        row, home = KINDS["invoice"], account or self.platform
        change = self._change(options)
        old = self.whole("invoice", invoice, home)
        with self.affecting():
            self._pull(row, old, home, change)
        new = self.whole("invoice", invoice, home)
        if new != old:
            self._tell(row, home, old, new, change)
        return self.get("invoice", invoice, home)

    def random_change(self, rng: Random, kinds: Collection[str] | None = None) -> str:
        """Make one valid change somewhere, chosen by `rng`, and say what was changed. Updates and deletions
        are only such that Stripe tells by an event, so that a reader can know of them. Raises ValueError if
        the platform can see no account's objects of these kinds."""
        names = sorted(kinds or KINDS.keys() - {"account", "event"})
        rng.shuffle(names)
        for name in names:
            row = KINDS[name]
            accounts = [account for account in self.accounts if self._visible(row, account)]
            if accounts:
                break
        else:
            raise ValueError(f"the platform can see {names} in no account: connect one")
        account = rng.choice(accounts)
        entries = [
            entry
            for entry in self.table(row.name, account).by_id.values()
            if not entry.hidden
            and entry.listed
            and (not row.holders or self._holder(row, entry.data(), account))
        ]
        deed = rng.choices(("create", "update", "delete"), (4, 5, 1))[0]
        entry = rng.choice(entries) if entries else None
        muted = entry is not None and self._muted(row, entry.data())
        if entry and deed == "update" and not muted and (edits := row.edits(entry.whole(), rng)):
            changes = rng.choice(edits)
            self.update(row.name, entry.id, account, **changes)
            return f"update {row.name} {entry.id} of {account}: {changes}"
        gone = row.events.deleted or row.cancels
        if entry and deed == "delete" and gone and row.allows_deletion(entry.data()):
            self.delete(row.name, entry.id, account)
            return f"delete {row.name} {entry.id} of {account}"
        fields: Json = dict(rng.choice(row.variants)) if row.variants and rng.random() < RARE else {}
        if (
            row.parent
            and row.parent.kind != "account"
            and (parents := self.table(row.parent.kind, account).by_id)
        ):
            shown = [id for id, parent in parents.items() if not parent.hidden]
            fields[row.parent.argument] = rng.choice(shown or list(parents))
        self._concern(row, account, fields, rng)
        return f"create {row.name} {self.create(row.name, account, **fields)['id']} of {account}"

    # What a change does to other objects

    @contextmanager
    def affecting(self, request: Json | None = None, pulls: bool = True) -> Iterator[None]:
        """Changes have their effects meanwhile, and events name the request that they are of. `pulls` False:
        new objects take nothing along."""
        before = self.effects, self._request, self._pulling
        self.effects, self._request, self._pulling = True, request or self._request, pulls
        try:
            yield
        finally:
            self.effects, self._request, self._pulling = before

    @contextmanager
    def telling_at(self, at: int | None) -> Iterator[None]:
        """Events are made at this time meanwhile, whenever the changes are."""
        before, self._told_at = self._told_at, at
        try:
            yield
        finally:
            self._told_at = before

    def _muted(self, row: Kind, data: Json) -> bool:
        """Whether no event of an object's own announces its changes."""
        return row.muted is not None and row.muted(data, self.api_version)

    def _concern(self, row: Kind, account: str, fields: Json, rng: Random) -> None:
        """Choose the objects that a new one is to have an effect on, and who is to hold it."""
        told = [each for each in row.holders if each.announced or each.quiet] if self.effects else []
        for holder in told if not any(each.field in fields for each in row.holders) else ():
            others = self.table(holder.kinds[0], account).by_id
            if others and rng.random() < 0.5:
                fields[holder.field] = rng.choice(list(others))
                break
        for effect in row.effects if self.effects else ():
            others = self.table(effect.kind, account).by_id
            chosen = effect.names in row.fields and others and rng.random() < 0.5
            if not chosen:
                continue
            other = rng.choice(list(others))
            fields[effect.names] = other
            link = row.parent
            shared = others[other].data().get(link.field) if link else None
            if link and shared in self.table(link.kind, account).by_id:
                fields[link.field] = shared

    def _affect(self, row: Kind, home: str, old: Json | None, new: Json | None, change: Change) -> None:
        """Bring the objects that one names up to date, without an event of theirs."""
        if not row.effects or not self.effects or self._muted(row, new or old or {}):
            return
        for effect in row.effects:
            name = at_path(effect.names)
            for other in dict.fromkeys(name(data) for data in (old, new) if data):
                table = self.table(effect.kind, home)
                entry = table.by_id.get(other)
                if entry is None:
                    continue
                quoted = orjson.dumps(other)
                naming = [each for each in self.table(row.name, home).by_id.values() if quoted in each.body]
                sources = [each.data() for each in sorted(naming, key=key_of)]
                before = entry.whole()
                after = before | effect.sets(before, [data for data in sources if name(data) == other])
                if after != before:
                    if table.kind.derive:
                        table.kind.derive(after, change.at)
                    self._write(table, after, entry.key, entry.parent, entry.listed, entry.hidden)

    def _copy(self, row: Kind, home: str, id: str) -> None:
        """Bring up to date what shows whole an object that a request changed, without an event of theirs."""
        for kind in row.shown_in if self._request["id"] else ():
            table, quoted = self.table(kind, home), orjson.dumps(id)
            for entry in [each for each in table.by_id.values() if quoted in each.body]:
                before = entry.whole()
                if before[row.name]["id"] == id:
                    after = before | {row.name: self.get(row.name, id, home)}
                    self._write(table, after, entry.key, entry.parent, entry.listed, entry.hidden)
                    silent = self._change({"event": False})
                    self._tell_parent(table.kind, home, entry.parent, before, after, silent)

    def _pull(self, row: Kind, data: Json, home: str, change: Change) -> None:
        """Let a new object take along what waits for it."""
        pull = row.pulls
        if pull is None or not self.effects or not self._pulling:
            return
        quoted = orjson.dumps(data[pull.by])
        for entry in [each for each in self.table(pull.kind, home).by_id.values() if quoted in each.body]:
            each = entry.data()
            if each[pull.field] is not None or each[pull.by] != data[pull.by]:
                continue
            self.update(pull.kind, each["id"], home, event=False, at=change.at, **{pull.field: data["id"]})
            self._pulled.add(each["id"])
            link = KINDS[pull.child].parent
            of: Json = {link.field: data["id"]} if link else {}
            self.create(pull.child, home, event=False, at=change.at, **pull.shows(each), **of)

    def _release(self, row: Kind, id: str, home: str, change: Change) -> None:
        """Let go of what a deleted object took along."""
        pull = row.pulls
        if pull is None or not self.effects:
            return
        for each in self.list_all(pull.kind, home):
            if each[pull.field] != id:
                continue
            if each["id"] in self._pulled:
                self._pulled.discard(each["id"])
                free: Json = {pull.field: None}
                self.update(pull.kind, each["id"], home, event=False, at=change.at, **free)
            else:
                self.delete(pull.kind, each["id"], home, **asdict(change))

    # How it is kept

    def _visible(self, row: Kind, account: str) -> bool:
        """Whether the platform can see such objects of an account."""
        link = row.parent
        if link is None or link.kind != "account" or link.refuses is None:
            return True
        return link.refuses(self.get("account", account), 0) is None

    def _change(self, options: Json, at: int | None = None) -> Change:
        """Takes what it is about out of the options."""
        own = {name: options.pop(name) for name in _OPTIONS & options.keys()}
        when = own.pop("at", None)
        when = at if when is None else when
        version = own.pop("api_version", None) or self.api_version
        return Change(self.clock.now() if when is None else when, api_version=version, **own)

    def _home(self, row: Kind, account: str | None) -> str:
        """Whose tables hold the objects: accounts themselves are the platform's."""
        return self.platform if row.name == "account" else account or self.platform

    def _place(self, row: Kind, account: str | None, fields: Json, change: Change) -> tuple[str, str | None]:
        """Where a new object goes: whose tables, under which parent. Takes a parent that is not a field of
        the object out of `fields`, and puts in one that is missing."""
        link = row.parent
        if link is None:
            return self._home(row, account), None
        if link.kind == "account":
            home = fields.setdefault("account", account or self.platform)
            if home not in self._tables:
                raise KeyError(home)
            return home, home
        home = account or self.platform
        name = link.argument
        parent = fields.pop(name) if name in fields else self._find(link.kind, home, change)
        if parent is not None and parent not in self.table(link.kind, home).by_id:
            raise KeyError(parent)
        if link.named:
            fields[link.field] = parent
        return home, parent

    def _adopt(self, row: Kind, account: str, parent: str, at: int) -> None:
        """Make a child along with its parent, without a word."""
        link = row.parent
        fields: Json = {link.argument: parent} if link and link.kind != "account" else {}
        self.create(row.name, account, event=False, at=at, **fields)

    def _build(self, row: Kind, id: str, home: str, teller: str, fields: Json, change: Change) -> Json:
        given = {"id": id, "object": fields.pop("object", row.object_name)} | fields
        draft = Draft(
            id=id,
            now=change.at,
            account=teller,
            livemode=self.livemode,
            rng=self.rng,
            built=given,
            find=lambda kind: self._find(kind, home, change),
            show=lambda kind, id: self.get(kind, id, home),
        )
        for name, value in fields.items():
            given[name] = fill(value, draft)
        data = row.build(draft)
        if row.derive:
            row.derive(data, change.at)
        return data

    def _find(self, kind: str, account: str, change: Change) -> str:
        """An object to point to: the newest, or one that is made in the same change."""
        if kind == "account":
            return account
        table = self.table(kind, account)
        newest = table.order[-1].id if table.order else None
        return newest or str(self.create(kind, account, **asdict(change))["id"])

    def _write(
        self, table: Table, data: Json, key: Key, parent: str | None, listed: bool, hidden: bool
    ) -> None:
        table.put(_entry(table.kind, data, key, parent, listed, hidden))

    def _tell(self, row: Kind, account: str, old: Json | None, new: Json | None, change: Change) -> None:
        """Make the events of a creation (`old` is None), an update or a deletion (`new` is None)."""
        if not change.event or self._muted(row, new or old or {}):
            return
        old, new = (data and self._without(row, account, data, change.api_version) for data in (old, new))
        types = row.events.types(old, new)
        if not types:
            return
        if older.differs(row.name, change.api_version):
            look, version = self.look(account), change.api_version
            old, new = (data and older.rendered(row.name, data, version, look) for data in (old, new))
        if row.name == "balance":
            old, new = (data and without_id(data) for data in (old, new))
        content: Json = {"object": new or old}
        if old and new:
            content["previous_attributes"] = previous(old, new)
        for type in types:
            self._make_event(type, account, content, change)

    def _without(self, row: Kind, account: str, data: Json, version: str) -> Json:
        """What an event in a version has of an object: nothing that would have to be asked for."""
        shown, _ = includes.split(data, row.hides)
        fields = older.shown(row.name, version)
        lists = {each.field: each for each in row.nested if each.field in fields}
        return shown | {field: self.nested(each, str(data["id"]), account) for field, each in lists.items()}

    def _make_event(self, type: str, account: str, content: Json, change: Change) -> None:
        is_thin = type.startswith("v2.")
        table = self.table("v2.core.event" if is_thin else "event", account)
        at = change.at if self._told_at is None else self._told_at
        event = {
            "id": table.kind.new_id(self.rng),
            "object": "event",
            "api_version": change.api_version,
            "created": at,
            "data": content,
            "livemode": self.livemode,
            "pending_webhooks": 0,
            "request": self._request,
            "type": type,
        }
        if is_thin:
            event = v2.thin(event, KINDS[content["object"]["object"]].path if content["object"] else "")
        shuffled = self.rng.getrandbits(32) << 32 if self.unordered else 0
        key = (at, shuffled | next(self._sequence))
        entry = _entry(table.kind, event, key, None, True)
        if change.visible_after > 0:
            heapq.heappush(self._late, (at + change.visible_after, key[1], table, entry))
        else:
            table.put(entry)
        for tell in () if is_thin else self.listeners:
            tell(account, event)

    def _settle(self) -> None:
        while self._late and self._late[0][0] <= self.clock.time():
            _, _, table, entry = heapq.heappop(self._late)
            table.put(entry)
        while self._hidden and self._hidden[0][0] <= self.clock.time():
            _, _, table, id, home, listed = heapq.heappop(self._hidden)
            found = table.by_id.get(id)
            if found is not None and found.hidden:
                data = found.whole()
                self._write(table, data, found.key, found.parent, listed, False)
                silent = self._change({"event": False})
                self._tell_parent(table.kind, home, found.parent, data, data, silent)

    def _tell_parent(
        self, row: Kind, home: str, parent: str | None, old: Json | None, new: Json | None, change: Change
    ) -> None:
        """Bring a parent up to date after a change of its child, and make the parent's events of it."""
        link = row.parent
        if link is None or parent is None:
            return
        table = self.table(link.kind, self._home(KINDS[link.kind], home))
        entry = table.by_id.get(parent)
        if entry is None:
            return
        before = entry.whole()
        after = dict(before)
        if link.sets and old is None and new is not None:
            after |= link.sets(new)
        quiet: Json = {}
        for nested in table.kind.nested:
            if row.name in nested.kinds:
                self._nest(nested, after, home, old, new)
                if nested.quiet or (nested.announced and self.effects):
                    quiet[nested.field] = after.get(nested.field)
        if after == before:
            return
        if table.kind.derive:
            table.kind.derive(after, change.at)
        self._write(table, after, entry.key, entry.parent, entry.listed, entry.hidden)
        self._affect(table.kind, home, before, after, change)
        if before | quiet != after:
            teller = parent if link.kind == "account" else home
            self._tell(table.kind, teller, before | quiet, after, change)

    # Objects that are found only in the place that another one has for them

    def _held(self, kind: str, place: str, holder: Json, home: str, count: int, change: Change) -> Any:
        """What a new object has in a place: so many objects that are made along with it. They have events
        only in a world with effects, which these announce."""
        row, how = HELD[kind][place]
        shared = {name: holder[name] for name in row.fields.keys() & holder.keys()}
        shared[how.field] = holder["id"]
        shared |= asdict(change) | {"event": change.event and self.effects}
        made = [self.create(row.name, home, **shared) for _ in range(count)]
        return made[-1] if how.inline and made else None if how.inline else [each["id"] for each in made]

    def _holder(self, row: Kind, data: Json, home: str) -> tuple[Holder, Entry] | None:
        """Whose place such an object is in, and how."""
        for holder in row.holders:
            if data.get(holder.field):
                for kind in holder.kinds:
                    if entry := self.table(kind, home).by_id.get(data[holder.field]):
                        return holder, entry
                return None
        return None

    def _hold(self, row: Kind, home: str, old: Json | None, new: Json | None, change: Change) -> None:
        """Bring the holder up to date after an object in its place went from `old` to `new`."""
        data = new or old
        found = self._holder(row, data, home) if data and row.holders else None
        if data is None or found is None:
            return
        holder, entry = found
        place = entry.data()[holder.place]
        now: Any = new
        if holder.inline:
            if old and (place or {}).get("id") != data["id"]:
                return
            if not old and place:
                self.table(row.name, home).remove(place["id"])
        elif old and new:
            return
        else:
            now = [*place, data["id"]] if new else [id for id in place if id != data["id"]]
        quiet = holder.quiet or (holder.announced and self.effects)
        options = asdict(change) | {"event": change.event and not quiet, holder.place: now}
        self.update(entry.kind.name, entry.id, home, **options)

    def _nest(self, nested: Nested, data: Json, home: str, old: Json | None, new: Json | None) -> None:
        """Set a parent's fields that come from its children, after one child went from `old` to `new`."""
        for child, sign in ((old or {}, -1), (new or {}, 1)):
            for total in nested.totals:
                data[total] += sign * (child.get("amount", child.get(total)) or 0)
        if nested.shown:
            data[nested.field] = self.nested(nested, str(data["id"]), home)


def _entry(kind: Kind, data: Json, key: Key, parent: str | None, listed: bool, hidden: bool = False) -> Entry:
    facets = tuple(read(data) for read in kind.reads)
    shown, secret = includes.split(data, kind.hides)
    apart = _bytes(secret) if secret else None
    return Entry(
        kind, str(data["id"]), key, _bytes(shown), facets, parent, listed, hidden=hidden, apart=apart
    )


def without_id(data: Json) -> Json:
    return {name: value for name, value in data.items() if name != "id"}


def _bytes(data: Json) -> bytes:
    """A copy of what orjson gives, which is left with room for several times as much."""
    return bytes(memoryview(orjson.dumps(data)))


def _created(row: Kind, data: Json, otherwise: int) -> int:
    """Where a list sorts an object that may not tell its creation time."""
    created = data.get(row.created) if row.created else None
    return created if isinstance(created, int) else otherwise
