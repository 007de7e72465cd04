# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL's encodings and Python's names for them: a dump's names are text in the encoding it was made in."""

from __future__ import annotations

import re
from typing import Any, Optional

__all__ = ["UNKNOWN", "announced_encoding", "decode_name", "is_ascii_safe", "shared_text"]

UNKNOWN = "\ufffd"  # stands in a name for what its encoding does not know
_CODECS = {
    "EUC_CN": "gb2312", "EUC_JIS_2004": "euc_jis_2004", "EUC_JP": "euc_jp", "EUC_KR": "euc_kr",
    "ISO_8859_5": "iso8859-5", "ISO_8859_6": "iso8859-6", "ISO_8859_7": "iso8859-7", "ISO_8859_8": "iso8859-8",
    "KOI8R": "koi8-r", "KOI8U": "koi8-u",
    "LATIN1": "latin-1", "LATIN2": "iso8859-2", "LATIN3": "iso8859-3", "LATIN4": "iso8859-4", "LATIN5": "iso8859-9",
    "LATIN6": "iso8859-10", "LATIN7": "iso8859-13", "LATIN8": "iso8859-14", "LATIN9": "iso8859-15",
    "LATIN10": "iso8859-16",
    "WIN866": "cp866", "WIN874": "cp874",
    "WIN1250": "cp1250", "WIN1251": "cp1251", "WIN1252": "cp1252", "WIN1253": "cp1253", "WIN1254": "cp1254",
    "WIN1255": "cp1255", "WIN1256": "cp1256", "WIN1257": "cp1257", "WIN1258": "cp1258",
    "BIG5": "big5", "GB18030": "gb18030", "GBK": "gbk", "JOHAB": "johab", "SHIFT_JIS_2004": "shift_jis_2004",
    "SJIS": "cp932", "UHC": "cp949",
}
# In these the second byte of a character may look like a backslash or a letter; no server has them.
_UNSAFE = ("BIG5", "GB18030", "GBK", "JOHAB", "SHIFT_JIS_2004", "SJIS", "UHC")
_ANNOUNCED = re.compile(rb"\s*SET\s+client_encoding\s*(?:=|TO)\s*'?([A-Za-z0-9_-]{1,40})'?\s*;?\s*", re.IGNORECASE)


def announced_encoding(statement: bytes) -> Optional[str]:
    """The encoding that a ``SET client_encoding`` of pg_dump's names; None for any other statement."""
    match = _ANNOUNCED.fullmatch(statement)
    return match.group(1).decode("ascii").upper() if match else None


def decode_name(name: bytes, encoding: str) -> str:
    """A name as text. What the encoding does not know becomes a replacement character, as in ``SQL_ASCII``."""
    return name.decode(_CODECS.get(encoding, "utf-8"), "replace")


def is_ascii_safe(encoding: str) -> bool:
    """Whether every byte below 128 is that character."""
    return encoding not in _UNSAFE


def shared_text(answer: Any, encoding: str) -> Any:
    """What a database of that encoding says of roles and of itself, as a database in UTF8 says it.

    The whole cluster shares these names, comments and settings. To PostgreSQL they are the bytes of whoever wrote them,
    which each database takes for its own encoding. What is not UTF8 stays as it was read.
    """
    if isinstance(answer, dict):
        return {shared_text(name, encoding): shared_text(value, encoding) for name, value in answer.items()}
    if isinstance(answer, list):
        return [shared_text(value, encoding) for value in answer]
    if not isinstance(answer, str) or encoding not in _CODECS:
        return answer
    try:
        return answer.encode(_CODECS[encoding]).decode("utf-8")
    except UnicodeError:
        return answer
