# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sizes and spans of time as people read them, and text that is safe in HTML."""

from __future__ import annotations

from html import escape
from typing import Optional

__all__ = ["html_text", "size_text", "span_text"]

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_LONGEST = 600


def size_text(size: Optional[float]) -> str:
    """``13.4 MB``, by the thousand; empty where it is not known."""
    if size is None:
        return ""
    number, units = float(size), ["PB", "TB", "GB", "MB", "kB"]
    unit = "B"
    while number >= 999.5 and units:
        number, unit = number / 1000, units.pop()
    return "{0:.{1}f} {2}".format(number, 1 if unit != "B" and number < 99.95 else 0, unit)


def span_text(seconds: Optional[float]) -> str:
    """``3 h 20 min``: the two largest units that say something; empty where it is not known."""
    if seconds is None:
        return ""
    whole = int(seconds)
    if whole < _MINUTE:
        return "{0:.1f} s".format(seconds) if 0 < seconds < 9.95 else "{0} s".format(whole)
    if whole < _HOUR:
        return _two(whole, _MINUTE, "min", 1, "s") if whole < 10 * _MINUTE else "{0} min".format(whole // _MINUTE)
    if whole < 2 * _DAY:
        return _two(whole, _HOUR, "h", _MINUTE, "min")
    return _two(whole, _DAY, "d", _HOUR, "h") if whole < 10 * _DAY else "{0} d".format(whole // _DAY)


def _two(whole: int, large: int, name: str, small: int, small_name: str) -> str:
    rest = whole % large // small
    text = "{0} {1}".format(whole // large, name)
    return "{0} {1} {2}".format(text, rest, small_name) if rest else text


def html_text(value: object) -> str:
    """``value`` for HTML, in an element or in a quoted attribute. What cannot be seen is shown; it never grows long.

    Names come from other people's servers: they may hold markup, control characters, or bytes that are not UTF-8.
    """
    text = str(value)
    if len(text) > _LONGEST:
        text = text[:_LONGEST] + "…"
    shown = (
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )
    return escape("".join(shown), quote=True)
