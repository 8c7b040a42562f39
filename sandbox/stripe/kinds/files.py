"""Files and the links to them."""

from sandbox.stripe.filters import equals
from sandbox.stripe.kind import Kind, Nested, Parent
from sandbox.stripe.kinds import fields as f

FILE = Kind(
    "file",
    "file",
    ops="LR",
    filters=(equals("purpose"),),
    nested=(Nested(("file_link",), "links", "/v1/file_links?file={id}"),),
    fields={
        "filename": f.text("evidence-????.pdf"),
        "purpose": "dispute_evidence",
        "size": f.number(1000, 1_000_000),
        "type": "pdf",
        "url": f.words("https://files.stripe.com/v1/files/{id}/contents"),
    },
)

FILE_LINK = Kind(
    "file_link",
    "link",
    parent=Parent("file", "file"),
    fields={"url": f.text("https://files.stripe.com/links/????????????????????????")},
)
