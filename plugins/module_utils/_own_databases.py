# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The databases that we make ourselves on a server: how their names and comments tell them."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import Optional

from ansible_collections.pgfleet.backup.plugins.module_utils._sql import ident

__all__ = [
    "DRILL", "KEPT", "SIDE", "STAMP_FORMAT", "is_kept", "is_ours", "is_under_way", "kept_at", "previous_marker",
    "unfinished_marker", "without_marker",
]

# Replaced ones that are kept, restores under way, and drills.
KEPT = "__before_"
SIDE = "__side_"
DRILL = "__drill_"
_STAMP = "[0-9]{8}T[0-9]{6}Z"
STAMP_FORMAT = "%Y%m%dT%H%M%SZ"
_OURS = re.compile("({0}|{1}|{2}){3}".format(KEPT, SIDE, DRILL, _STAMP))
_KEPT = re.compile("{0}{1}$".format(KEPT, _STAMP))
_UNDER_WAY = re.compile("({0}|{1}){2}$".format(SIDE, DRILL, _STAMP))
_MARKER = re.compile("^pgfleet\\.backup: previous .*, replaced {0}(\\n|$)".format(_STAMP))


def is_ours(name: str) -> bool:
    """Whether a database was made by a restore or drill of this collection."""
    return bool(_OURS.search(name))


def is_kept(name: str) -> bool:
    """Whether a database has the name of a replaced one. One that was renamed back has not, and is in use again."""
    return bool(_KEPT.search(name))


def kept_at(name: str) -> datetime:
    """The moment in the name of a kept database; the beginning of time for one that is no moment."""
    try:
        return datetime.strptime(name[-16:], STAMP_FORMAT).replace(tzinfo=timezone.utc)
    except ValueError:
        return datetime.min.replace(tzinfo=timezone.utc)


def is_under_way(name: str) -> bool:
    """Whether a database has the name of a side or drill database, which nobody but the run that made it uses."""
    return bool(_UNDER_WAY.search(name))


def unfinished_marker(target: str, run_id: str = "") -> str:
    """The comment of a database that a run has made for ``target`` and not finished; its beginning without a run."""
    return "pgfleet.backup: unfinished, for {0}, by run {1}".format(ident(" ".join(target.split())), run_id)


def previous_marker(target: str) -> str:
    """How the comment of a database begins that was kept for ``target``: a name cut to 63 bytes does not tell."""
    return "pgfleet.backup: previous {0}, replaced ".format(ident(" ".join(target.split())))


def without_marker(comment: Optional[str]) -> Optional[str]:
    """A database's own comment, without the line that a swap put in front of it."""
    return (_MARKER.sub("", comment) or None) if comment else None
