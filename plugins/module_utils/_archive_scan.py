# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
r"""Counting what a dump really holds: every COPY must reach its ``\.``.

Neither an exit status nor a listing proves an archive: a member cut in half restores half its rows with status 0. The
scanner reads the SQL text that ``pg_restore -f -`` makes of an archive, or a plain dump itself.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Dict, Iterable, List, Optional

from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError

__all__ = ["CopyScanner"]

_END = b"\n\\.\n"
_SETVAL = re.compile(rb"^SELECT pg_catalog\.setval\('((?:[^']|'')+)', (-?[0-9]+), (true|false)\);\s*$")
# A name as pg_dump spells it: parts that are plain or quoted, joined by dots.
_NAME = r'(?:"(?:[^"]|"")+"|[A-Za-z_\u0080-\U0010ffff][\w$]*)(?:\.(?:"(?:[^"]|"")+"|[A-Za-z_\u0080-\U0010ffff][\w$]*))*'
_COPY = re.compile(rb"^COPY (.+) FROM stdin;$", re.DOTALL)
_COMMENT = re.compile(rb"^-- (?:Data for )?Name: .*; Type: (TABLE DATA|SEQUENCE SET); ")
# psql's own commands but for those that pg_dump protects a dump with, and what pg_dump --create writes.
_OUTSIDE = re.compile(rb"^\\(?!restrict |unrestrict )|^(?:CREATE|DROP|ALTER) DATABASE ", re.IGNORECASE)
_TRAILER = b"-- PostgreSQL database dump complete"
_MAX_PENDING = 512 * 1024 * 1024


class CopyScanner:
    """Fed with chunks of SQL text; afterwards ``tables``, ``sequences`` and ``large_objects`` say what was in it.

    ``expected`` holds the COPY statements of the archive's table of contents: only those begin table data, so that
    nothing in a function's body can be mistaken for one, and each must come. Without it (a plain dump) table data
    begins at a COPY that pg_dump's own comment announces. A ``foreign`` plain dump may not hold what would act outside
    the database that it is restored into.
    """

    def __init__(self, expected: Optional[Iterable[str]] = None, *, foreign: bool = False) -> None:
        self.tables: Dict[str, int] = {}
        self.sequences: Dict[str, Dict[str, object]] = {}
        self.large_objects = 0
        self.has_trailer = False
        self._expected = (
            None
            if expected is None
            else Counter(statement.strip().encode("utf-8", "surrogateescape") for statement in expected)
        )
        self._foreign = foreign
        self._pending = b""
        self._table: Optional[str] = None
        self._announced = b""  # by the last comment of pg_dump's
        self._held = b""  # a COPY statement so far, when a name in it holds a line break

    def feed(self, chunk: bytes) -> None:
        data = self._pending + chunk
        while data:
            rest = self._feed_statements(data) if self._table is None else self._feed_rows(data, self._table)
            if rest is None:
                break
            data = rest
        else:
            self._pending = b""

    def finish(self) -> None:
        """Raises ``VERIFY_FAILED`` when table data did not end, or did not come."""
        if self._table is None and self._pending:
            self._statement(self._pending)
        if self._table is not None:
            raise BackupError("VERIFY_FAILED", "the data of table {0} breaks off in the middle".format(self._table))
        missing: List[bytes] = list((self._expected or Counter()).elements())
        if missing:
            raise BackupError("VERIFY_FAILED", "the data of {0} table(s) is missing or cut off, the first: {1}".format(
                len(missing), _name(missing[0])))

    def _feed_statements(self, data: bytes) -> Optional[bytes]:
        """Take whole lines until table data begins; what is left, or None when more input is needed."""
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
                # The line break that ends the COPY line also begins the data: an empty table is "\n\\.\n" at once.
                return data[end:]
            position = end + 1

    def _statement(self, line: bytes) -> None:
        line, self._held = self._held + line, b""
        if self._foreign and _OUTSIDE.match(line):
            raise BackupError(
                "INVALID_BACKUP_FORMAT",
                "the plain dump holds {0!r}, which would act outside the target database".format(
                    line[:60].decode("utf-8", "replace")),
                hint="Make the dump of one database without --create, or restore it by hand where that is meant.",
            )
        if line.startswith(b"COPY "):
            if self._goes_on(line):
                self._held = line + b"\n"
            else:
                self._begin(line.rstrip(b"\r"))
        elif line.startswith(b"SELECT pg_catalog.setval("):
            match = _SETVAL.match(line)
            if match and (self._expected is not None or self._announced == b"SEQUENCE SET"):
                name = match.group(1).decode("utf-8", "replace").replace("''", "'")
                if re.match(_NAME + "$", name):
                    self.sequences[name] = {"last_value": int(match.group(2)), "is_called": match.group(3) == b"true"}
        elif line.startswith(b"SELECT pg_catalog.lo_open("):
            self.large_objects += 1
        elif line.startswith(b"--"):
            if line != b"--":
                match = _COMMENT.match(line)
                self._announced = match.group(1) if match else b""
            self.has_trailer = self.has_trailer or line.rstrip() == _TRAILER

    def _goes_on(self, line: bytes) -> bool:
        """Whether a COPY statement ends inside a quoted name, so that the next line belongs to it."""
        if self._expected is None:
            return self._announced == b"TABLE DATA" and line.count(b'"') % 2 == 1
        if self._expected[line]:
            return False
        return any(count and statement.startswith(line + b"\n") for statement, count in self._expected.items())

    def _begin(self, line: bytes) -> None:
        if self._expected is None:
            begins = self._announced == b"TABLE DATA" and _COPY.match(line) is not None
        else:
            begins = self._expected[line] > 0
            if begins:
                self._expected[line] -= 1
        if begins:
            self._table = _name(line)
            self.tables.setdefault(self._table, 0)

    def _feed_rows(self, data: bytes, table: str) -> Optional[bytes]:
        """Count rows up to the end mark; what follows it, or None when more input is needed."""
        end = data.find(_END)
        if end >= 0:
            # The line break in front of the first row is not one of a row, the one in front of the mark is.
            self.tables[table] += data.count(b"\n", 0, end + 1) - 1
            self._table = None
            self._announced = b""
            return data[end + len(_END):]
        # Keep what may be the beginning of the mark; the kept line break is counted next time.
        keep = data.rfind(b"\n", max(0, len(data) - len(_END) + 1))
        cut = keep if keep >= 0 else len(data)
        self.tables[table] += data.count(b"\n", 0, cut)
        self._pending = data[cut:]
        return None


def _name(line: bytes) -> str:
    """``COPY public."We ird" (a, b) FROM stdin;`` → ``public."We ird"``: the table as SQL spells it.

    The name goes into queries later, so what is no name is refused: a dump may come from anywhere.
    """
    match = re.match(_NAME, line.decode("utf-8", "replace")[len("COPY "):])
    if not match:
        raise BackupError("VERIFY_FAILED", "the dump copies into something that is no table: {0!r}".format(line[:80]))
    return match.group(0)
