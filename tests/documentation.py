"""The documentation as the tests read it: pages, and in them blocks, commands, links and sentences."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent

_FENCE: Final = re.compile(r"^ *```(\w*)$")
_HEADING: Final = re.compile(r"^#+ (.+)$")
_LINK: Final = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
_CODE: Final = re.compile(r"`[^`]+`")
_SENTENCE_END: Final = re.compile(r"(?<=[.!?])(?:\*\*)?\s+(?=[A-Z`*\[])|: (?=[A-Z])")


@dataclass(frozen=True)
class Block:
    """A fenced block. `line` is the number of its first line."""

    page: str
    line: int
    language: str
    lines: tuple[str, ...]

    title: str = ""
    """The last line before it."""

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def file(self) -> str:
        """The name of the file that the block shows, empty where it shows none."""
        named = re.match(r"`([\w.]+)`.*:$", self.title)
        return named[1] if named else ""


@dataclass(frozen=True)
class Command:
    """What a reader types after `$ `, and the lines that the page shows as its output."""

    page: str
    line: int
    text: str
    output: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {self.text}"


@cache
def pages() -> list[str]:
    """The paths of all pages, relative to the checkout."""
    found = [*ROOT.glob("*.md"), ROOT / "bench" / "README.md", *ROOT.glob("docs/*.md")]
    return sorted(str(each.relative_to(ROOT)) for each in found)


@cache
def text_of(page: str) -> str:
    return (ROOT / page).read_text()


@cache
def blocks(page: str) -> list[Block]:
    found: list[Block] = []
    language, begun, title = None, 0, ""
    lines = text_of(page).splitlines()
    for number, line in enumerate(lines):
        if not (fence := _FENCE.match(line)):
            title = line if line.strip() and language is None else title
            continue
        if language is None:
            language, begun = fence[1], number + 1
        else:
            indent = len(line) - len(line.lstrip())
            inside = tuple(each[indent:] for each in lines[begun:number])
            found.append(Block(page, begun + 1, language, inside, title))
            language, title = None, ""
    assert language is None, f"{page}: the block at line {begun} has no end"
    return found


def commands_of(block: Block) -> list[Command]:
    """The commands of a console block. A line that ends with a backslash goes on."""
    found: list[Command] = []
    goes_on = False
    for number, line in enumerate(block.lines, block.line):
        if goes_on:
            last = found.pop()
            found.append(Command(block.page, last.line, f"{last.text}\n{line}"))
        elif line.startswith("$ "):
            found.append(Command(block.page, number, line[2:]))
        elif line.strip():
            last = found.pop()
            found.append(Command(block.page, last.line, last.text, (*last.output, line)))
        goes_on = (goes_on or line.startswith("$ ")) and line.endswith("\\")
    return found


def commands(page: str) -> list[Command]:
    """The commands of the page, in order."""
    found = [commands_of(block) for block in blocks(page) if block.language == "console"]
    return [each for some in found for each in some]


def words_of(page: str) -> set[str]:
    """The words of the page's queries and commands."""
    return {
        word
        for block in blocks(page)
        if block.language in ("sql", "console")
        for word in re.findall(r"\w+", block.text)
    }


def prose(page: str) -> list[tuple[int, str]]:
    """The lines outside of blocks, each with its number."""
    found, inside = [], False
    for number, line in enumerate(text_of(page).splitlines(), 1):
        if _FENCE.match(line):
            inside = not inside
        elif not inside:
            found.append((number, line))
    return found


def links(page: str) -> Iterator[tuple[int, str]]:
    """The targets of the page's links and images, each with its line."""
    for number, line in prose(page):
        for link in _LINK.finditer(_CODE.sub("", line)):
            yield number, link[1] or link[2]


@cache
def anchors(page: str) -> frozenset[str]:
    """What a link may name after `#`, as GitHub makes it of headings."""
    seen: dict[str, int] = {}
    found = set()
    for _, line in prose(page):
        if heading := _HEADING.match(line):
            slug = re.sub(r"[^\w\- ]", "", heading[1].strip().lower()).replace(" ", "-")
            count = seen.get(slug, 0)
            seen[slug] = count + 1
            found.add(f"{slug}-{count}" if count else slug)
    return frozenset(found)


def codes(page: str) -> Iterator[tuple[int, str]]:
    """What stands between backticks within the prose, each with its line."""
    for number, line in prose(page):
        for code in _CODE.findall(line):
            yield number, code[1:-1]


def rows(page: str, header: str) -> Iterator[list[str]]:
    """The rows of the page's tables with this header line, each as its cells."""
    inside = False
    for _, line in prose(page):
        if line == header:
            inside = True
        elif not line.startswith("|"):
            inside = False
        elif inside and not line.startswith("|---"):
            yield [each.strip() for each in line.strip("|").split("|")]


def sentences(page: str) -> Iterator[tuple[int, str]]:
    """The sentences of the page's prose, each with the line at which its paragraph starts. The cells of a
    table and the items of a list are paragraphs of their own."""
    paragraph: list[str] = []
    start = 0
    for number, line in [*prose(page), (0, "")]:
        stripped = line.strip()
        is_own = stripped.startswith(("|", "#", "- ", "* ")) or re.match(r"\d+\. ", stripped)
        if (not stripped or is_own) and paragraph:
            for each in _SENTENCE_END.split(" ".join(paragraph)):
                yield start, each
            paragraph = []
        if stripped.startswith("|"):
            for cell in stripped.strip("|").split("|"):
                for each in _SENTENCE_END.split(cell.strip()):
                    yield number, each
        elif stripped and not stripped.startswith("#"):
            start = start if paragraph else number
            paragraph.append(stripped)
