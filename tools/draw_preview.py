"""Draw docs/preview.svg, the picture of the README: the table of a real preview of the demo.

    python tools/draw_preview.py [SECONDS]

Runs the preview on a pseudo-terminal of 80 columns, and takes what it shows after so many seconds. The
picture has text alone, in the fonts of whoever looks at it.
"""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests.sandbox.test_flow_terminal import Screen  # noqa: E402 - found by the path above

PICTURE: Final = ROOT / "docs" / "preview.svg"
HEIGHT, WIDTH = 24, 80
FOOTER: Final = 4  # lines below the table
LINE, CHARACTER, MARGIN = 18, 8.4, 14  # pixels
PROMPT: Final = (
    "$ make preview SOURCE=test.flow.yaml STRIPE=--demo \\",
    '    FLAGS="--until-caught-up --into stripe.duckdb"',
)


def main(seconds: float) -> None:
    shown = preview(seconds)
    PICTURE.write_text(drawn([*PROMPT, "", *shown]))
    print("\n".join(shown))


def preview(seconds: float) -> list[str]:
    """The lines of the terminal so many seconds after the preview has begun to show them."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("LINES", "COLUMNS")}
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-m", "sandbox", "stripe", "--demo", "--", sys.executable, "-m", "sandbox"]
        command += [
            "preview",
            "--source",
            "test.flow.yaml",
            "--until-caught-up",
            "--into",
            f"{directory}/stripe.duckdb",
        ]
        with subprocess.Popen(
            command, cwd=ROOT, stdin=its, stdout=its, stderr=its, env={**environment, "TERM": "xterm"}
        ) as process:
            os.close(its)
            screen, end = Screen(HEIGHT, WIDTH), float("inf")
            while time.monotonic() < end or not screen.lines[0].startswith("stream "):
                screen.feed(os.read(ours, 1 << 16))
                if end == float("inf") and any("backfilling" in line for line in screen.lines):
                    end = time.monotonic() + seconds
            process.terminate()
            os.close(ours)
    return [line.rstrip() for line in screen.lines if line.strip()]


def drawn(lines: Sequence[str]) -> str:
    """An SVG of a terminal with these lines."""
    width, height = round(WIDTH * CHARACTER + 2 * MARGIN), LINE * len(lines) + 2 * MARGIN
    texts = []
    for number, line in enumerate(lines):
        kind = ' class="t"' if line.startswith(("stream ", "$", " ")) else ""
        if number >= len(lines) - FOOTER:
            kind = ' class="f"'
        y = MARGIN + LINE * number + 13
        texts.append(f'<text x="{MARGIN}" y="{y}"{kind} xml:space="preserve">{escape(line)}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}">\n'
        "<style>text { font: 14px ui-monospace, Menlo, Consolas, monospace; fill: #d8dee9 } "
        ".t { font-weight: bold; fill: #fff } .f { fill: #8b95a7 }</style>\n"
        f'<rect width="{width}" height="{height}" rx="8" fill="#1c2128"/>\n' + "\n".join(texts) + "\n</svg>\n"
    )


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 15)
