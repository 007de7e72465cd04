# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a look ahead at a restore finds: blockers, which stop it, and remarks, which are told and stop nothing."""

from __future__ import annotations

from typing import Dict, Iterable, List, NamedTuple, Optional

from ansible_collections.pgfleet.backup.plugins.module_utils._errors import CODES, BackupError

__all__ = ["BLOCKER", "REMARK", "Finding", "blocked_by", "blocker", "listed", "remark", "spelled_size"]

BLOCKER = "blocker"
REMARK = "remark"

_SHOWN = 8
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


class Finding(NamedTuple):
    """``subject`` is one word for what it is about, such as ``roles``. Only blockers have a code."""

    level: str
    code: Optional[str]
    subject: str
    msg: str
    hint: str

    def describe(self) -> Dict[str, Optional[str]]:
        """As the returned ``plan`` shows it."""
        return dict(self._asdict())

    def error(self) -> BackupError:
        """What the restore fails with. Only for blockers."""
        return BackupError(self.code or "INTERNAL_ERROR", self.msg, hint=self.hint)


def blocker(code: str, subject: str, msg: str, *, hint: str = "") -> Finding:
    """A finding that stops the restore with ``code``, whose own hint is used where none is given."""
    return Finding(BLOCKER, code, subject, msg, hint or CODES[code].hint)


def blocked_by(error: BackupError, subject: str) -> Finding:
    """The finding that fails with ``error``."""
    return blocker(error.code, subject, error.what, hint=error.hint)


def remark(subject: str, msg: str, *, hint: str = "") -> Finding:
    """A finding that stops nothing."""
    return Finding(REMARK, None, subject, msg, hint)


def listed(names: Iterable[str]) -> str:
    """``a, b, c`` or, where there are many, ``a, b, c, …, and 12 more``."""
    every: List[str] = list(names)
    more = ["and {0} more".format(len(every) - _SHOWN)] if len(every) > _SHOWN else []
    return ", ".join(every[:_SHOWN] + more)


def spelled_size(count: Optional[float]) -> str:
    """``7.4 MiB``; ``size unknown`` for None."""
    if count is None:
        return "size unknown"
    size, unit = float(count), 0
    while size >= 1024 and unit < len(_UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return "{0:.{1}f} {2}".format(size, 1 if unit else 0, _UNITS[unit])
