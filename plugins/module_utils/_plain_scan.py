# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plain dumps: what is in them counted, and what a foreign one may not hold refused.

``psql`` obeys a plain dump, so before it is given one the dump is read as ``psql`` will read it.
"""

from __future__ import annotations

import re
from typing import Optional

from ansible_collections.pgfleet.backup.plugins.module_utils._archive_scan import (
    COPY,
    SETVAL,
    RowCounter,
    is_one_part,
    leading_name,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._encodings import announced_encoding, is_ascii_safe
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._psql_text import Piece, SqlSplitter

__all__ = ["PlainScanner"]

_TRAILER = b"-- PostgreSQL database dump complete"
_KEY = re.compile(rb"\\(un)?restrict ([A-Za-z0-9]{1,200})\s*")
_STANDARD_STRINGS = re.compile(rb"SET standard_conforming_strings = '?(on|off)'?;")
_SEARCH_PATH = re.compile(rb"SET search_path = (.+), pg_catalog;")
_CLUSTER_WIDE = (b"DATABASE", b"ROLE", b"USER", b"GROUP", b"TABLESPACE", b"SYSTEM")
_BY_HAND = "Make the dump of one database by pg_dump without --create, or restore it by hand where that is meant."


class PlainScanner(RowCounter):
    """Fed with chunks of a plain dump; ``has_trailer`` says afterwards whether it came to its end.

    A ``foreign`` dump may not hold what would act outside the database that it is restored into. ``restricted``: psql
    will obey no commands in it, should this scanner be led to take one for text.
    """

    def __init__(self, *, foreign: bool, restricted: bool = False) -> None:
        super().__init__()
        self.has_trailer = False
        self._foreign = foreign
        self._restricted = restricted
        self._text = SqlSplitter()
        self._fresh = True  # no statement since the beginning, or since a trailer
        self._key: Optional[bytes] = None
        self._schema = b""  # of names without one, in dumps of PostgreSQL before 11

    def finish(self) -> None:
        """Raises ``VERIFY_FAILED`` when something that was begun did not end."""
        if self._table is None:
            self._read(self._pending, final=True)
            if self._text.unfinished:
                raise _broken("it breaks off inside {0}".format(self._text.unfinished))
        self._end_tables()

    def _feed_statements(self, data: bytes) -> Optional[bytes]:
        position = self._read(data, final=False)
        if self._table is not None:
            return data[position:]
        self._pending = data[position:]
        return None

    def _read(self, data: bytes, *, final: bool) -> int:
        """Take pieces until table data begins or no further one is complete; where that is."""
        position = 0
        while self._table is None:
            try:
                position, piece = self._text.next(data, position, final=final)
            except ValueError as error:
                raise _broken(str(error)) from error
            if piece is None:
                break
            self._take(piece, data[position:position + 1])
        return position

    def _take(self, piece: Piece, after: bytes) -> None:
        if piece.kind == "comment":
            if piece.text == _TRAILER:
                self.has_trailer = self._fresh = True
        elif piece.kind == "statement":
            self._fresh = self.has_trailer = False
            self._statement(piece, after)
        elif piece.kind == "doubt":
            self._refuse(piece.text, "psql would not read as it is meant")
        elif not self._is_protection(piece):
            self._refuse(piece.text, "is a command to psql itself, and would act outside the target database")

    def _is_protection(self, piece: Piece) -> bool:
        """The lines by which pg_dump protects a dump from such commands: behind its head, and behind its trailer."""
        match = _KEY.fullmatch(piece.text)
        if match is None or not piece.alone or not self._fresh:
            return False
        if match.group(1):
            allowed = self.has_trailer and self._key == match.group(2)
            self._key = None
        else:
            allowed = self._key is None
            self._key = match.group(2)
        return allowed

    def _statement(self, piece: Piece, after: bytes) -> None:
        first, second, third = (piece.words + (b"", b"", b""))[:3]
        if first == b"COPY":
            if COPY.fullmatch(piece.text) and after == b"\n":
                self._begin(self._qualified(piece.text[len(b"COPY "):]))
            else:
                self._refuse(piece.text, "does not read its rows from the dump")
        elif first == b"INSERT":
            self._inserted(piece)
        elif first == b"SELECT":
            self._select(piece.text)
        elif first == b"SET":
            self._setting(piece.text)
        elif (first, second) == (b"CREATE", b"EXTENSION") and b"timescaledb" in piece.text.lower():
            self._refuse(piece.text, "takes its data only in between timescaledb_pre_restore() and "
                         "timescaledb_post_restore()", hint="Restore it by hand as TimescaleDB's documentation says.")
        elif first in (b"CREATE", b"ALTER", b"DROP") and second in _CLUSTER_WIDE and third != b"MAPPING":
            self._refuse(piece.text, "would act outside the target database")

    def _inserted(self, piece: Piece) -> None:
        """Rows that are listed are counted; how many rows anything else makes, the dump does not say."""
        name = self._qualified(piece.text[len(b"INSERT INTO "):])
        if piece.rows is None:
            self._uncounted.add(name)
        self.tables[name] = self.tables.get(name, 0) + (piece.rows or 0)

    def _select(self, text: bytes) -> None:
        match = SETVAL.match(text)
        if match:
            name = self._qualified(match.group(1).replace(b"''", b"'"))
            self._set_sequence(name, match.group(2), match.group(3))
        elif text.startswith(b"SELECT pg_catalog.lo_open("):
            self.large_objects += 1
        elif b"standard_conforming_strings" in text.lower():
            self._refuse(text, "changes how text is read")

    def _setting(self, text: bytes) -> None:
        encoding = announced_encoding(text)
        strings = _STANDARD_STRINGS.fullmatch(text)
        path = _SEARCH_PATH.fullmatch(text)
        if encoding:
            self._encoding = encoding
            if not is_ascii_safe(encoding):
                self._refuse(text, "names an encoding in which a backslash cannot be told from a part of a character",
                             hint="Make the dump again with --encoding=UTF8.")
        elif strings:
            self._text.standard = strings.group(1) == b"on"
            if not self._text.standard and not self._restricted:
                self._refuse(text, "changes how text is read, and this psql has no protection against that",
                             hint="Install the newest minor release of the client tools, or use another format.")
        elif path:
            self._schema = path.group(1)
        elif b"standard_conforming_strings" in text.lower():
            self._refuse(text, "changes how text is read")

    def _qualified(self, text: bytes) -> str:
        name = leading_name(text, self._encoding)
        if self._schema and is_one_part(name):
            return "{0}.{1}".format(leading_name(self._schema, self._encoding), name)
        return name

    def _refuse(self, text: bytes, why: str, hint: str = _BY_HAND) -> None:
        if self._foreign:
            raise BackupError("INVALID_BACKUP_FORMAT", "the plain dump holds {0!r}, which {1}".format(
                text[:60].decode("utf-8", "replace"), why), hint=hint)


def _broken(why: str) -> BackupError:
    return BackupError("VERIFY_FAILED", "the plain dump is damaged: {0}".format(why))
