# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
r"""Counting what a dump really holds: every COPY must reach its ``\.``.

Neither an exit status nor a listing proves an archive: a member cut in half restores half its rows with status 0.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import Counter
from typing import Dict, Iterable, List, Optional, Set

from ansible_collections.pgfleet.backup.plugins.module_utils._encodings import decode_name
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError

__all__ = ["COPY", "SETVAL", "CopyScanner", "RowCounter", "is_one_part", "leading_name"]

_END = b"\n\\.\n"
SETVAL = re.compile(rb"^SELECT pg_catalog\.setval\('((?:[^']|'')+)', (-?[0-9]+), (true|false)\);\s*$")
_PART_BYTES = rb'(?:"(?:[^"]|"")+"|[A-Za-z_\x80-\xff][A-Za-z0-9_$\x80-\xff]*)'
COPY = re.compile(rb"COPY N(?:\.N)* ?(?:\(N(?:, N)*\))? FROM stdin;".replace(b"N", _PART_BYTES))
# A name as pg_dump spells it: parts that are plain or quoted, joined by dots.
_PART = r'(?:"(?:[^"]|"")+"|[A-Za-z_\u0080-\U0010ffff][\w$]*)'
_NAME = re.compile(r"{0}(?:\.{0})*".format(_PART))
_MAX_PENDING = 512 * 1024 * 1024


class RowCounter(ABC):
    """Fed with chunks of SQL text; afterwards ``tables``, ``sequences`` and ``large_objects`` say what was in it."""

    def __init__(self, encoding: str = "UTF8") -> None:
        self.tables: Dict[str, int] = {}
        self.sequences: Dict[str, Dict[str, object]] = {}
        self.large_objects = 0
        self._encoding = encoding
        self._pending = b""
        self._table: Optional[str] = None
        self._uncounted: Set[str] = set()

    def feed(self, chunk: bytes) -> None:
        data = self._pending + chunk
        while data:
            rest = self._feed_statements(data) if self._table is None else self._feed_rows(data, self._table)
            if rest is None:
                break
            data = rest
        else:
            self._pending = b""

    @abstractmethod
    def finish(self) -> None:
        """Raises ``VERIFY_FAILED`` when something that was begun did not end, or did not come."""

    @abstractmethod
    def _feed_statements(self, data: bytes) -> Optional[bytes]:
        r"""Take what is complete until table data begins; what is left, or None when more input is needed.

        The line break that ends the COPY line also begins the data: an empty table is ``\n\.\n`` at once.
        """

    def _begin(self, table: str) -> None:
        self._table = table
        self.tables.setdefault(table, 0)

    def _set_sequence(self, name: str, value: bytes, is_called: bytes) -> None:
        if _NAME.fullmatch(name):
            self.sequences[name] = {"last_value": int(value), "is_called": is_called == b"true"}

    def _end_tables(self) -> None:
        if self._table is not None:
            raise BackupError("VERIFY_FAILED", "the data of table {0} breaks off in the middle".format(self._table))
        for name in self._uncounted:
            self.tables.pop(name, None)

    def _feed_rows(self, data: bytes, table: str) -> Optional[bytes]:
        """Count rows up to the end mark; what follows it, or None when more input is needed."""
        end = data.find(_END)
        if end >= 0:
            # The line break in front of the first row is not one of a row, the one in front of the mark is.
            self.tables[table] += data.count(b"\n", 0, end + 1) - 1
            self._table = None
            return data[end + len(_END):]
        # Keep what may be the beginning of the mark; the kept line break is counted next time.
        keep = data.rfind(b"\n", max(0, len(data) - len(_END) + 1))
        cut = keep if keep >= 0 else len(data)
        self.tables[table] += data.count(b"\n", 0, cut)
        self._pending = data[cut:]
        return None


class CopyScanner(RowCounter):
    """Reads the SQL text that ``pg_restore -f -`` makes of an archive.

    ``expected`` holds the COPY statements of the archive's table of contents, in its ``encoding``: only those begin
    table data, so that nothing else can be mistaken for one, and each must come.
    """

    def __init__(self, expected: Iterable[bytes], encoding: str = "UTF8") -> None:
        super().__init__(encoding)
        self._expected = Counter(statement.strip() for statement in expected)
        self._held = b""  # a COPY statement so far, when a name in it holds a line break

    def finish(self) -> None:
        if self._table is None and self._pending:
            self._statement(self._pending)
        self._end_tables()
        missing: List[bytes] = list(self._expected.elements())
        if missing:
            raise BackupError("VERIFY_FAILED", "the data of {0} table(s) is missing or cut off, the first: {1}".format(
                len(missing), self._table_of(missing[0])))

    def _feed_statements(self, data: bytes) -> Optional[bytes]:
        position = 0
        while True:
            end = data.find(b"\n", position)
            if end < 0:
                self._pending = data[position:]
                if len(self._pending) > _MAX_PENDING:
                    raise BackupError("VERIFY_FAILED", "a line of the dump is longer than any that pg_dump writes")
                return None
            self._statement(data[position:end])
            if self._table is not None:
                return data[end:]
            position = end + 1

    def _statement(self, line: bytes) -> None:
        line, self._held = self._held + line, b""
        if line.startswith(b"COPY "):
            if self._expected[line] > 0:
                self._expected[line] -= 1
                self._begin(self._table_of(line))
            elif any(count and statement.startswith(line + b"\n") for statement, count in self._expected.items()):
                self._held = line + b"\n"
        elif line.startswith(b"SELECT pg_catalog.setval("):
            match = SETVAL.match(line)
            if match:
                name = decode_name(match.group(1), self._encoding).replace("''", "'")
                self._set_sequence(name, match.group(2), match.group(3))
        elif line.startswith(b"SELECT pg_catalog.lo_open("):
            self.large_objects += 1

    def _table_of(self, statement: bytes) -> str:
        return leading_name(statement[len(b"COPY "):], self._encoding)


def leading_name(text: bytes, encoding: str) -> str:
    """``public."We ird" (a, b) FROM stdin;`` → ``public."We ird"``: the table as SQL spells it.

    The name goes into queries later, so what is no name is refused: a dump may come from anywhere.
    """
    match = _NAME.match(decode_name(text, encoding))
    if not match:
        raise BackupError("VERIFY_FAILED", "the dump fills something that is no table: {0!r}".format(text[:80]))
    return match.group(0)


def is_one_part(name: str) -> bool:
    """Whether a name says nothing of its schema."""
    return re.fullmatch(_PART, name) is not None
