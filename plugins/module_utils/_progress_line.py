# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a watched run has written, as a line for people, and when to look again. For the controller.

The file comes from a managed host: nothing in it is believed to be of the right type, or fit for a terminal.
"""

from __future__ import annotations

import json
from typing import Any, Iterator, List, Mapping, Optional

from ansible_collections.pgfleet.backup.plugins.module_utils._report_words import size_text, span_text

__all__ = ["intervals", "progress_line"]

_SLOWEST = 6  # times the first interval: with 10 seconds, a line a minute
_LONGEST = 80


def intervals(first: float) -> Iterator[float]:
    """Seconds to wait before each look: twice ``first``, then more each time, up to six times that."""
    yield first
    times = 1
    while True:
        yield first * times
        times = min(times + 1, _SLOWEST)


def progress_line(host: str, text: str, mark: str) -> Optional[str]:
    """``db1: dumping shop, 1.2 GB of about 3.4 GB, …``; None when what was read does not say what is being done."""
    try:
        seen = json.loads(text.partition(mark)[2].partition("\n")[0])
    except ValueError:
        return None
    if not isinstance(seen, dict) or not isinstance(seen.get("step"), str):
        return None
    expected = seen.get("expected")
    if not isinstance(expected, dict):
        expected = {}
    what = "{0} {1}".format(_shown(seen["step"]), _shown(str(seen.get("database") or ""))).strip()
    return "{0}: {1}".format(host, ", ".join([what, *_figures(seen, expected)]))


def _figures(seen: Mapping[str, Any], expected: Mapping[str, Any]) -> List[str]:
    size, tables, seconds = (_number(seen.get(name)) for name in ("bytes", "tables", "seconds"))
    all_bytes, all_tables = (_number(expected.get(name)) for name in ("bytes", "tables"))
    figures = []
    if size is not None:
        figures.append(size_text(size) + (
            " of about {0}".format(size_text(all_bytes)) if all_bytes and size < all_bytes else ""))
    if tables is not None:
        figures.append("{0:.0f} {1}tables".format(tables, "of {0:.0f} ".format(all_tables) if all_tables else ""))
    if size and seconds:
        figures.append("{0}/s".format(size_text(size / seconds)))
    if seconds is not None:
        figures.append("{0} so far".format(span_text(round(seconds))))
        left = _left(seconds, size, all_bytes, _number(expected.get("seconds")))
        if left is not None:
            figures.append("about {0} left".format(span_text(round(left))))
    return figures


def _left(
    seconds: float, size: Optional[float], all_bytes: Optional[float], all_seconds: Optional[float]
) -> Optional[float]:
    """By the bytes where they can be compared, else by the time that it took before; None once that is wrong."""
    if size and all_bytes:
        return seconds * (all_bytes - size) / size if size < all_bytes else None
    return all_seconds - seconds if all_seconds and seconds < all_seconds else None


def _number(value: Any) -> Optional[float]:
    # No number of bytes or seconds comes near the bound, beyond which arithmetic fails; NaN is not below it either.
    return value if isinstance(value, (int, float)) and 0 <= value < 1e18 else None


def _shown(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text[:_LONGEST])
