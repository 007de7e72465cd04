# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
r"""SQL text as ``psql`` takes it apart: where a statement ends, and where a backslash is a command to ``psql`` itself.

It follows ``psqlscan.l`` of PostgreSQL. A backslash inside a literal, a dollar quote, a quoted name or a comment is
text; anywhere else it begins a command, in the middle of a line and of a statement too.
"""

from __future__ import annotations

import re
from typing import List, NamedTuple, Optional, Tuple

__all__ = ["Piece", "SqlSplitter"]

_TOKEN = re.compile(
    rb"(?P<word>[A-Za-z_\x80-\xff][A-Za-z0-9_$\x80-\xff]*)"
    rb"|(?P<number>\$?[0-9][A-Za-z0-9_.\x80-\xff]*)"
    rb"|(?P<dollar>\$(?:[A-Za-z_\x80-\xff][A-Za-z0-9_\x80-\xff]*)?\$)"
    rb"|(?P<comment>--)"
    rb"|(?P<block>/\*)"
    rb"|(?P<variable>:(?:V+|'V+'|\"V+\"|\{\?V+\}))"
    rb"|::|:="
    rb"|(?P<sign>[;()'\"\\])".replace(b"V", rb"[A-Za-z0-9_\x80-\xff]")
)
_LITERAL = re.compile(rb"[\s(,=][eE]?'")
_ESCAPES = re.compile(rb"\\|'")
_BLOCK = re.compile(rb"/\*|\*/")
_LINE_END = re.compile(rb"[\r\n]")
_MAX_TOKEN = 4 << 20  # more than a piece that is fed, and than a comment or what stands between two spaces
_MAX_TEXT = 1 << 20
_FUNCTION_WORDS = (b"create", b"or", b"replace", b"function", b"procedure")
# What psql sets by itself, and would put in the place of the name.
_VARIABLES = frozenset(
    b"AUTOCOMMIT COMP_KEYWORD_CASE DBNAME ECHO ECHO_HIDDEN ENCODING ERROR FETCH_COUNT HIDE_TABLEAM "
    b"HIDE_TOAST_COMPRESSION HISTCONTROL HISTFILE HISTSIZE HOST IGNOREEOF LASTOID LAST_ERROR_MESSAGE "
    b"LAST_ERROR_SQLSTATE ON_ERROR_ROLLBACK ON_ERROR_STOP PIPELINE_COMMAND_COUNT PIPELINE_RESULT_COUNT "
    b"PIPELINE_SYNC_COUNT PORT PROMPT1 PROMPT2 PROMPT3 QUIET ROW_COUNT SERVER_VERSION_NAME SERVER_VERSION_NUM SERVICE "
    b"SHELL_ERROR SHELL_EXIT_CODE SHOW_ALL_RESULTS SHOW_CONTEXT SINGLELINE SINGLESTEP SQLSTATE USER VERBOSITY VERSION "
    b"VERSION_NAME VERSION_NUM WATCH_INTERVAL".split()
)


class Piece(NamedTuple):
    """What was found: ``kind`` is ``statement``, ``comment``, ``command`` or ``doubt``.

    ``text`` is its beginning. Of a statement, ``words`` are the first four in capitals, and ``rows`` is how many rows
    an ``INSERT`` lists, None when that cannot be told. ``alone`` says of a command that it has its line for itself. A
    ``doubt`` is what psql would replace, or what its versions read differently.
    """

    kind: str
    text: bytes
    words: Tuple[bytes, ...] = ()
    rows: Optional[int] = None
    alone: bool = False


class SqlSplitter:
    """Fed with SQL text in pieces of any size. ``standard`` is whether a backslash in a plain literal is text."""

    def __init__(self) -> None:
        self.standard = True
        self._mode = "sql"
        self._tag = b""
        self._comments = 0
        self._last = b"\n"
        self._text = bytearray()
        self._seen = b""
        self._limit = 0
        self._mark = -1  # where the statement goes on in the data at hand; -1 outside a statement
        self._reset()

    def _reset(self) -> None:
        self._text.clear()
        self._mark = -1
        self._words: List[bytes] = []
        self._previous = b""
        self._parens = 0
        self._begins = 0
        self._shape = ""
        self._values = False
        self._rows: Optional[int] = None
        self._uncertain = False

    @property
    def unfinished(self) -> str:
        """What the text so far has opened and not closed; empty between two statements."""
        names = {"sql": "a statement", "block": "a comment", "quoted": "a quoted name"}
        return names.get(self._mode, "a literal") if self._mode != "sql" or self._mark >= 0 else ""

    def next(self, data: bytes, start: int, *, final: bool) -> Tuple[int, Optional[Piece]]:
        """The next piece that ends in ``data`` from ``start`` on, and where it ends.

        With None the rest from there on is wanted again, with more behind it. ``final``: nothing more will come.
        Raises ValueError for text that no dump holds.
        """
        if self._mark >= 0:
            self._mark = start
        end, piece = self._scan(data, start, final)
        if b"\0" in data[start:end]:
            raise ValueError("it holds a zero byte")
        if self._mark >= 0:
            if len(self._text) < _MAX_TEXT:
                self._text += data[self._mark:min(end, self._mark + _MAX_TEXT)]
            self._mark = end
        if end > start:
            self._last = data[end - 1:end]
        if piece is not None and piece.kind == "statement":
            piece = piece._replace(text=bytes(self._text))
            self._reset()
        return end, piece

    def _scan(self, data: bytes, position: int, final: bool) -> Tuple[int, Optional[Piece]]:
        limit = len(data) if final else self._complete(data)
        while position < len(data):
            if self._mode != "sql":
                position, done = self._inside(data, position, final)
                if not done:
                    break
                continue
            token = _TOKEN.search(data, position, limit) if position < limit else None
            if token is None:
                position = max(position, limit)
                _check_length(data, position)
                break
            position, piece = self._take(data, token, final)
            if piece is not None:
                return position, piece
            if position == token.start():
                _check_length(data, position)
                break
        return position, None

    def _complete(self, data: bytes) -> int:
        """Looked for once in the same data: it holds many statements, and a token at its end may be very long."""
        if self._seen is not data:
            self._seen, self._limit = data, _complete_until(data)
        return self._limit

    def _take(self, data: bytes, token: re.Match[bytes], final: bool) -> Tuple[int, Optional[Piece]]:
        """Take one token: where it ends (where it begins, if its end has not come yet), and the piece it completes."""
        begin, end = token.span()
        kind, text = token.lastgroup, token.group()
        if kind == "comment":
            return self._comment(data, begin, final)
        if text == b"\\":
            return self._command(data, begin, final)
        if self._mark < 0 and kind != "block" and text != b";":
            self._mark = begin
        piece = None
        if kind == "word":
            self._word(text.upper())
            if text in (b"e", b"E") and data[end:end + 1] == b"'":
                self._mode, end = "escaped", end + 1
        elif kind == "dollar":
            self._mode, self._tag = "dollar", text
        elif kind == "block":
            self._mode, self._comments = "block", 1
        elif kind == "sign":
            piece = self._sign(text)
        elif _in_doubt(token, data[end:end + 1]):
            piece = Piece("doubt", text)
        return end, piece

    def _comment(self, data: bytes, begin: int, final: bool) -> Tuple[int, Optional[Piece]]:
        match = _LINE_END.search(data, begin)
        if match is None and not final:
            return begin, None
        end = match.end() if match else len(data)
        return end, Piece("comment", data[begin:end].rstrip()) if self._mark < 0 else None

    def _command(self, data: bytes, begin: int, final: bool) -> Tuple[int, Optional[Piece]]:
        """A backslash, and the rest of its line."""
        end = data.find(b"\n", begin)
        if end < 0 and not final:
            return begin, None
        end = end if end >= 0 else len(data)
        alone = self._mark < 0 and (data[begin - 1:begin] if begin else self._last) == b"\n"
        return end, Piece("command", data[begin:end], alone=alone)

    def _sign(self, sign: bytes) -> Optional[Piece]:
        if sign == b"'":
            self._mode = "single" if self.standard else "escaped"
        elif sign == b'"':
            self._mode = "quoted"
        elif sign == b"(":
            if self._values and not self._parens and self._rows is not None:
                self._rows += 1
            self._parens += 1
        elif sign == b")":
            self._parens = max(0, self._parens - 1)
        elif not self._parens and not self._begins and self._mark >= 0:
            return Piece("statement", b"", tuple(self._words), None if self._uncertain else self._rows)
        return None

    def _word(self, word: bytes) -> None:
        if len(self._words) < 4:
            self._words.append(word)
            # psql's own way to see a function whose body is SQL, in which a semicolon ends nothing.
            self._shape += chr(word[0]) if word.lower() in _FUNCTION_WORDS else "."
        if self._parens:
            return
        if self._shape[:2] in ("CF", "CP") or self._shape in ("CORF", "CORP"):
            if word == b"BEGIN" or (word == b"CASE" and self._begins):
                self._begins += 1
            elif word == b"END":
                self._begins = max(0, self._begins - 1)
        elif self._words[0] == b"INSERT":
            if word == b"VALUES" and not self._values:
                self._values, self._rows = True, int(self._previous == b"DEFAULT")
            elif self._values:
                self._uncertain = True  # ON CONFLICT and the like
        self._previous = word

    def _inside(self, data: bytes, position: int, final: bool) -> Tuple[int, bool]:
        """Go on inside a literal, a quoted name or a comment: where that stops, and whether it has ended."""
        if self._mode == "escaped":
            return self._inside_escaped(data, position, final)
        if self._mode == "block":
            return self._inside_block(data, position)
        closing = {"single": b"'", "quoted": b'"'}.get(self._mode, self._tag)
        found = data.find(closing, position)
        if found < 0:
            kept = 0 if final else len(closing) - 1
            return max(position, len(data) - kept), False
        self._mode = "sql"
        return found + len(closing), True

    def _inside_escaped(self, data: bytes, position: int, final: bool) -> Tuple[int, bool]:
        while True:
            match = _ESCAPES.search(data, position)
            if match is None:
                return len(data), False
            if match.end() == len(data) and not final:
                return match.start(), False
            if match.group() == b"'" and data[match.end():match.end() + 1] != b"'":
                self._mode = "sql"
                return match.end(), True
            position = min(match.end() + 1, len(data))

    def _inside_block(self, data: bytes, position: int) -> Tuple[int, bool]:
        while True:
            match = _BLOCK.search(data, position)
            if match is None:
                # Half of a mark may stand at the very end.
                return max(position, len(data) - (data[-1:] in (b"/", b"*"))), False
            position = match.end()
            self._comments += 1 if match.group() == b"/*" else -1
            if not self._comments:
                self._mode = "sql"
                return position, True


def _complete_until(data: bytes) -> int:
    """No token holds white space: what stands before the last one is complete. A literal can be of any length."""
    limit = max(data.rfind(b" "), data.rfind(b"\n")) + 1
    literal = _LITERAL.search(data, max(0, limit - 1))
    return literal.end() if literal else limit


def _in_doubt(token: re.Match[bytes], after: bytes) -> bool:
    """Whether psql would put a value there, or whether its versions differ about where the token ends."""
    if token.lastgroup == "number":
        return after in (b"'", b"$")
    return token.lastgroup == "variable" and token.group().strip(b":'\"{?}") in _VARIABLES


def _check_length(data: bytes, position: int) -> None:
    if len(data) - position > _MAX_TOKEN:
        raise ValueError("a word or a line of it is longer than any that pg_dump writes")
