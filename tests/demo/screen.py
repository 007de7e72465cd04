# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the demo's screen looks like: under 80 columns, plain text in a file, a little colour on a terminal."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

__all__ = ["Screen", "megabytes", "size_of"]

WIDTH = 78
INDENT = "   "


class Screen:
    def __init__(self) -> None:
        self._colours = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self._step = 0
        # A terminal or pipe of another encoding gets a question mark for what it does not have, not an error.
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="replace")

    def title(self, text: str) -> None:
        print()
        print(self._paint("1", text))
        print(self._paint("2", "━" * WIDTH))

    def step(self, text: str, aside: str = "") -> None:
        """A numbered heading, with a remark at the right margin."""
        self._step += 1
        heading = f"{self._step}. {text}"
        print()
        print(self._paint("1;36", heading) + self._paint("2", aside.rjust(WIDTH - len(heading))))

    def say(self, text: str = "") -> None:
        print((INDENT + text).rstrip())

    def good(self, text: str) -> None:
        self.say(self._paint("32", "✔ " + text))

    def bad(self, text: str) -> None:
        self.say(self._paint("31", "✘ " + text))

    def quote(self, lines: Iterable[str]) -> None:
        """Something that is not ours to say: a task, a statement, a log."""
        for line in lines:
            for part in textwrap.wrap(line, WIDTH - 5, subsequent_indent="    ", break_on_hyphens=False) or [""]:
                print(INDENT + self._paint("2", "│ ") + part)

    def table(self, head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Columns under a head; the first to the left, the others to the right."""
        rows = [list(row) for row in rows]
        widths = [max(len(row[column]) for row in [list(head), *rows]) for column in range(len(head))]
        for number, row in enumerate([list(head), *rows]):
            cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
            line = "   ".join(cells)
            self.say(self._paint("2", line) if number == 0 else line)

    def tree(self, folder: Path, remarks: dict[str, str]) -> None:
        """The entries of a folder, with their sizes and what there is to say about them."""
        self.say(self._paint("1", folder.name + "/"))
        entries = sorted(folder.iterdir())
        for entry in entries:
            branch = "└── " if entry is entries[-1] else "├── "
            name = entry.name + ("/" if entry.is_dir() else "")
            remark = remarks.get(entry.name, "")
            self.say(f"{branch}{name.ljust(18)}{megabytes(size_of(entry)).rjust(9)}   {remark}"[: WIDTH - len(INDENT)])

    def _paint(self, code: str, text: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self._colours and text.strip() else text


def size_of(path: Path) -> int:
    """The bytes of a file, or of all the files below a folder."""
    if path.is_dir():
        return sum(size_of(entry) for entry in path.iterdir())
    return path.stat().st_size


def megabytes(count: int) -> str:
    if count < 1000:
        return f"{count} B"
    return f"{count / 1000:.1f} kB" if count < 1_000_000 else f"{count / 1_000_000:.1f} MB"
