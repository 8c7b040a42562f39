"""What is read of Stripe's SDK, what of it goes beyond the document, and what two versions differ in.

The SDK of these tests is a small one of the same make. No test downloads Stripe's.
"""

from pathlib import Path
from textwrap import dedent
from typing import Any, Final

import pytest

from tools.compare_facts import additions, changes
from tools.facts import SDK, STRIPE, read, stripe_facts
from tools.read_sdk import Sdk, looks_secret

Json = dict[str, Any]

OFFER: Final = '''
    from typing import TYPE_CHECKING
    if TYPE_CHECKING:
        from stripe._price import Price

    class Offer:
        OBJECT_NAME: ClassVar[Literal["catalog.offer"]] = "catalog.offer"

        class Duration(StripeObject):
            class Relative(StripeObject):
                iterations: int
            relative: Optional[Relative]
            type: Union[Literal["relative"], str]
            _inner_class_types = {"relative": Relative}

        class From(StripeObject):
            file: str

        deleted: Optional[Literal[True]]
        duration: Duration
        from_: Optional[From]
        id: str
        """
        Unique identifier for the object.
        """
        key: Optional[str]
        """
        The passcode with which the offer is made.
        """
        lines: ListObject["Price"]
        object: Literal["catalog.offer"]
        price: ExpandableField["Price"]
        rates: Dict[str, float]
        tags: List[str]
        _field_remappings = {"from_": "from"}
'''

FILES: Final = {
    "_api_version.py": 'class _ApiVersion:\n    CURRENT = "2026-10-28.endive"\n',
    "_price.py": """
        class Price:
            OBJECT_NAME: ClassVar[Literal["price"]] = "price"
            id: str
            object: Literal["price"]
    """,
    "_price_service.py": """
        from stripe._price import Price
        class PriceService:
            def retrieve(self, id: str) -> "Price":
                return cast("Price", self._request("get", "/v1/prices/{id}".format(id=id)))
    """,
    "_session.py": """
        class Session:
            OBJECT_NAME: ClassVar[Literal["session"]] = "session"
            client_secret: str
            customer: str
            object: Literal["session"]
    """,
    "_session_service.py": """
        from stripe._session import Session
        class SessionService:
            def create(self, params: Optional["Any"] = None) -> "Session":
                return cast("Session", self._request("post", "/v1/sessions", params=params))
    """,
    "catalog/_offer.py": OFFER,
    "catalog/_offer_service.py": """
        if TYPE_CHECKING:
            from stripe._list_object import ListObject
            from stripe.catalog._offer import Offer
            from stripe.params.catalog._offer_list_params import OfferListParams
        class OfferService:
            def list(self, params: Optional["OfferListParams"] = None) -> "ListObject[Offer]":
                return cast("ListObject[Offer]", self._request("get", "/v1/catalog/offers", params=params))
            def retrieve(self, id: str, /, params=None) -> "Offer":
                return cast("Offer", self._request("get", "/v1/catalog/offers/{id}".format(id=id)))
    """,
    "params/catalog/_offer_list_params.py": """
        class OfferListParams(TypedDict):
            created: NotRequired["OfferListParamsCreated|int"]
            type: Literal["performance", "place"]
    """,
    "params/_webhook_endpoint_create_params.py": """
        class WebhookEndpointCreateParams(TypedDict):
            enabled_events: List[Union[Literal["*", "offer.created", "price.created"], str]]
    """,
    "events/_offer_made_event.py": """
        from stripe.catalog._offer import Offer
        class OfferMadeEvent:
            LOOKUP_TYPE = "v1.offer.made"
            def fetch_related_object(self) -> "Offer":
                ...
    """,
    "events/_offer_created_event.py": """
        class OfferCreatedEvent:
            LOOKUP_TYPE = "v1.offer.created"
    """,
}


def read_sdk(folder: Path, files: dict[str, str]) -> Json:
    for name, text in files.items():
        file = folder / "stripe" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(text))
    return Sdk(folder / "stripe").facts()


@pytest.fixture
def sdk(tmp_path: Path) -> Json:
    return read_sdk(tmp_path / "new", FILES)


def test_lists_parameters_and_events_are_read(sdk: Json) -> None:
    assert sdk["version"] == "2026-10-28.endive"
    assert sdk["event_types"] == ["offer.created", "price.created"]
    assert sdk["thin_event_types"] == {"": ["v1.offer.created"], "catalog.offer": ["v1.offer.made"]}
    query = {"created": {}, "type": {"required": True, "enum": ["performance", "place"]}}
    assert sdk["paths"] == {
        "/v1/catalog/offers": {"get": {"lists": ["catalog.offer"], "query": query}},
        "/v1/catalog/offers/{id}": {"get": {"returns": ["catalog.offer"], "query": {}}},
        "/v1/prices/{id}": {"get": {"returns": ["price"], "query": {}}},
        "/v1/sessions": {"post": {"returns": ["session"]}},
    }


def test_objects_are_read_with_their_parts_and_secrets(sdk: Json) -> None:
    offer, duration = sdk["schemas"]["catalog.offer"], sdk["schemas"]["catalog.offer.Duration"]
    text, price = {"type": "string"}, {"$ref": "#/components/schemas/price"}
    assert offer["properties"] | {"lines": None} == {
        "duration": {"$ref": "#/components/schemas/catalog.offer.Duration"},
        "from": {"$ref": "#/components/schemas/catalog.offer.From", "nullable": True},
        "id": text,
        "key": text | {"nullable": True, "x-secret": True},
        "lines": None,
        "object": text | {"enum": ["catalog.offer"]},
        "price": {"anyOf": [text, price]},
        "rates": {"type": "object", "additionalProperties": {"type": "number"}},
        "tags": {"type": "array", "items": text},
    }
    assert offer["properties"]["lines"]["properties"]["data"] == {"type": "array", "items": price}
    assert offer["x-expandableFields"] == ["duration", "from", "lines", "price"]
    assert duration["properties"]["type"] == text | {"enum": ["relative"]}
    assert "x-resourceId" in offer
    assert "x-resourceId" not in duration


INVOICE: Final = {
    "_invoice.py": """
        class Invoice:
            OBJECT_NAME: ClassVar[Literal["invoice"]] = "invoice"
            class LastFinalizationError(StripeObject):
                code: Optional[Union[Literal["rate_limit", "api_key_expired"], str]]
            last_finalization_error: Optional[LastFinalizationError]
            object: Literal["invoice"]
    """,
    "_invoice_service.py": """
        from stripe._invoice import Invoice
        class InvoiceService:
            def retrieve(self, id: str) -> "Invoice":
                return cast("Invoice", self._request("get", "/v1/invoices/{id}".format(id=id)))
    """,
}


def test_the_codes_of_errors_are_read_where_an_invoice_shows_one(sdk: Json, tmp_path: Path) -> None:
    found = read_sdk(tmp_path, FILES | INVOICE)
    assert (sdk["error_codes"], found["error_codes"]) == ([], ["api_key_expired", "rate_limit"])
    assert "new error code: rate_limit" in changes(found, sdk)
    document: Json = {"event_types": [], "paths": {}, "schemas": {}, "version": "2026"}
    kept = additions(found, document, {"fields": {}, "query": {}})
    assert kept["error_codes"] == found["error_codes"]


def test_a_type_that_is_not_known_is_an_error(tmp_path: Path) -> None:
    offer = OFFER.replace("Dict[str, float]", "Tuple[str, float]")
    with pytest.raises(ValueError, match=r"unknown type in stripe\.catalog\._offer: Tuple"):
        read_sdk(tmp_path, FILES | {"catalog/_offer.py": offer})


def test_only_what_the_document_lacks_is_kept(sdk: Json) -> None:
    price = {"properties": {"id": {}, "object": {}}, "x-resourceId": "price"}
    inner: Json = {"properties": {"relative": {"properties": {}}, "type": {}}}
    known = {
        "catalog.offer": {
            "properties": {field: {} for field in sdk["schemas"]["catalog.offer"]["properties"]}
            | {"duration": {"$ref": "#/components/schemas/offer_duration"}},
            "x-resourceId": "catalog.offer",
        },
        "offer_duration": inner,
        "price": price,
    }
    query: Json = {"created": {}, "type": {}}
    paths = {
        "/v1/catalog/offers": {"get": {"lists": ["catalog.offer"], "query": query}},
        "/v1/catalog/offers/{offer}": {"get": {"returns": ["catalog.offer"], "query": {}}},
    }
    document: Json = {"event_types": ["price.created"], "paths": paths, "schemas": known, "version": "2026"}
    nothing: Json = {"fields": {}, "query": {}}
    more = additions(sdk, document, nothing)
    assert more["event_types"] == ["offer.created"]
    price_now = sdk["schemas"]["catalog.offer"]["properties"]["price"]
    assert more["fields"] == {
        "catalog.offer": {"price": price_now},  # it can be expanded now
        "offer_duration": {"relative.iterations": {"type": "integer"}},
    }
    assert list(more["paths"]) == ["/v1/prices/{id}", "/v1/sessions"]
    assert list(more["schemas"]) == ["session"]
    assert list(more["schemas"]["session"]["properties"]) == ["object", "client_secret"]
    assert more["thin_event_types"] == {"catalog.offer": ["v1.offer.made"]}
    query.pop("type")
    assert list(additions(sdk, document, nothing)["paths"]) == [
        "/v1/prices/{id}",
        "/v1/sessions",
        "/v1/catalog/offers",
    ]


def test_what_an_sdk_of_the_documents_version_has_more_is_older(sdk: Json) -> None:
    price = {"properties": {"object": {}}, "x-resourceId": "price"}
    document: Json = {
        "event_types": [],
        "paths": {"/v1/catalog/offers": {"get": {"lists": ["catalog.offer"], "query": {"created": {}}}}},
        "schemas": {"price": price},
        "version": sdk["version"],
    }
    first = additions(sdk, document, {"fields": {}, "query": {}})
    assert first["older"] == {"fields": {"price": ["id"]}, "query": {"/v1/catalog/offers": ["type"]}}
    assert first["fields"] == {}
    later = additions(sdk | {"version": "2027"}, document, first["older"])
    assert (later["older"], later["fields"]) == (first["older"], {})
    assert "/v1/catalog/offers" not in later["paths"]


def test_what_has_changed_is_said(sdk: Json, tmp_path: Path) -> None:
    older = dict(FILES)
    for name in ("catalog/_offer.py", "catalog/_offer_service.py", "events/_offer_made_event.py"):
        del older[name]
    older["_price.py"] = older["_price.py"].replace("id: str", "id: str; tiers: str")
    older["_api_version.py"] = older["_api_version.py"].replace("10-28", "09-30")
    older["params/_webhook_endpoint_create_params.py"] = FILES[
        "params/_webhook_endpoint_create_params.py"
    ].replace('"offer.created", ', "")
    old = read_sdk(tmp_path / "old", older)
    assert list(changes(sdk, old)) == [
        "2026-09-30.endive -> 2026-10-28.endive",
        "new list: /v1/catalog/offers (catalog.offer)",
        "new event type: offer.created",
        "new thin event type: v1.offer.made (catalog.offer)",
        "thin event type is gone: v1.offer.created",
        "field is gone: price.tiers",
        "new field that looks like a secret: catalog.offer.key",
        "new id of another object: catalog.offer.price (price)",
    ]
    assert list(changes(sdk, sdk)) == ["2026-10-28.endive -> 2026-10-28.endive"]


@pytest.mark.parametrize(
    ("name", "description"),
    [
        ("signing_secret", ""),
        ("admin_menu_passcode", ""),
        ("auth_code", ""),
        ("payload", "The plaintext secret value to be stored."),
        ("cryptogram", "A value that proves that 3DS was completed."),
        ("value", "Proves that 3DS was completed. Store this value securely."),
        ("challenge_url", "The URL for presenting a challenge to your cardholder."),
        ("url", "The short-lived URL of the session."),
    ],
)
def test_a_secret_is_known_by_its_name_or_description(name: str, description: str) -> None:
    assert looks_secret(name, description)


@pytest.mark.parametrize(
    ("name", "description"),
    [("id", "Unique identifier for the object."), ("receipt_url", "The URL of the receipt."), ("number", "")],
)
def test_what_is_no_secret_is_not_marked(name: str, description: str) -> None:
    assert not looks_secret(name, description)


def test_the_secrets_of_endive_are_marked_in_the_facts() -> None:
    schemas = stripe_facts()["schemas"]
    for name, field in (
        ("terminal.configuration.ReaderSecurity", "admin_menu_passcode"),
        ("apps.install", "auth_code"),
        ("three_d_secure.authentication.OutcomeDetails", "cryptogram"),
        ("three_d_secure.authentication", "challenge_url"),
    ):
        assert "x-secret" in schemas[name]["properties"][field]


def test_the_facts_are_the_documents_and_what_the_sdk_has_more() -> None:
    document, sdk = read(STRIPE), read(SDK)
    merged = stripe_facts()
    assert merged["version"] == sdk["version"] > document["version"]
    assert merged["paths"].keys() == document["paths"].keys() | sdk["paths"].keys()
    item = merged["schemas"]["subscription_item"]
    assert "current_trial" in item["x-expandableFields"]
    assert "current_trial" not in document["schemas"]["subscription_item"]["properties"]
