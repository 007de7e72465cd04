# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The log that results return, and the redactor that every free text passes."""

from __future__ import annotations

from typing import List, Optional, Set
from urllib.parse import quote

from ansible_collections.pgfleet.backup.plugins.module_utils._progress import Progress

__all__ = ["Redactor", "RunLog"]

_MASK = "********"
_MAX_LINE = 2000


class Redactor:
    """Scrubs known secrets from free text, in the clear and as a URI would spell them."""

    def __init__(self) -> None:
        self._secrets: Set[str] = set()

    def add(self, secret: str) -> None:
        """Nothing is done for an empty one."""
        if secret:
            self._secrets.add(secret)

    @property
    def secrets(self) -> Set[str]:
        return set(self._secrets)

    def __call__(self, text: str) -> str:
        # The longest first: one secret may be part of another.
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, _MASK).replace(quote(secret, safe="", errors="surrogateescape"), _MASK)
        return text


class RunLog:
    """Lines in the order they happened. Control characters are shown, not obeyed.

    ``progress`` is what is happening now.
    """

    def __init__(self, redactor: Redactor, progress: Optional[Progress] = None) -> None:
        self.progress = progress or Progress()
        self._redactor = redactor
        self._lines: List[str] = []
        self._warnings: List[str] = []

    def add(self, line: str) -> None:
        self._lines.append(self._clean(line))

    def add_warning(self, line: str) -> None:
        """A line that the user should also see as a warning."""
        clean = self._clean(line)
        self._lines.append("WARNING: " + clean)
        if clean not in self._warnings:
            self._warnings.append(clean)

    def part(self) -> RunLog:
        """An empty log for work that goes on beside other work; :meth:`take` puts it where it belongs."""
        return RunLog(self._redactor, self.progress.part())

    def take(self, part: RunLog) -> None:
        """Add all of ``part``, its lines together."""
        self._lines += part._lines
        self._warnings += [line for line in part._warnings if line not in self._warnings]

    @property
    def lines(self) -> List[str]:
        return list(self._lines)

    @property
    def warnings(self) -> List[str]:
        return list(self._warnings)

    def _clean(self, line: str) -> str:
        safe = self._redactor(line)  # first: a secret may hold characters that are shown otherwise
        shown = (char if char.isprintable() else char.encode("unicode_escape").decode() for char in safe)
        return "".join(shown)[:_MAX_LINE]
