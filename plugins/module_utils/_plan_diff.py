# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan as the two texts that Ansible's ``--diff`` compares."""

from __future__ import annotations

import textwrap
from typing import Any, Dict, List, Mapping, Optional

from ansible_collections.pgfleet.backup.plugins.module_utils._findings import BLOCKER, spelled_size

__all__ = ["plan_diff"]

_WIDTH = 100
_BASES = {
    "drill": "as its last drill took",
    "earlier_drill": "as an earlier drill took",
    "backup": "guessed from how long the backup took",
}


def plan_diff(plan: Mapping[str, Any]) -> Dict[str, str]:
    """``before`` and ``after`` with their headers, for a backup's plan and for a restore's."""
    return _backup_diff(plan) if "databases" in plan else _restore_diff(plan)


def _backup_diff(plan: Mapping[str, Any]) -> Dict[str, str]:
    before: List[str] = []
    after: List[str] = []
    for item in plan["databases"]:
        lines = ["{0}/{1}".format(item["folder"], name) for name in item["existing"]]
        before += lines
        removable = {"{0}/{1}".format(item["folder"], name) for name in item["removable"]}
        after += [line for line in lines if line not in removable]
        if not item["fresh"]:
            after.append("{0}/{1}".format(item["folder"], _new(plan, item)))
    return _texts("backups of {0}".format(plan["instance"]), before, after)


def _new(plan: Mapping[str, Any], item: Mapping[str, Any]) -> str:
    if item["kind"] == "globals":
        return "<new globals>"
    proven = "not verified" if plan["verify"] == "none" else "verified by {0}".format(plan["verify"])
    return "<new {0} backup, {1}, {2}>".format(item["kind"], plan["format"], proven)


def _restore_diff(plan: Mapping[str, Any]) -> Dict[str, str]:
    target = plan["target_database"]
    before = ["{0}: {1}".format(target, _state(plan["target"]))]
    after = list(before)
    restored = "restored from {0}".format(plan["backup"]["path"])
    if plan["strategy"] == "drill":
        after.append("(a scratch database: {0}, compared, dropped)".format(restored))
    elif not plan["blockers"]:
        after = ["{0}: {1}".format(target, restored)]
        if plan["keep_previous"]:
            after.append("{0}__before_<stamp>: {1}, closed to connections".format(target, _size(plan["target"])))
    for finding in plan["findings"]:
        after += _finding(finding)
    if plan["estimate"] is not None:  # going back to a kept database is a rename
        after += _aligned("time", _time(plan["estimate"])) + _aligned("disk", _room(plan["disk"]))
    return _texts("database {0}".format(target), before, after)


def _state(target: Optional[Mapping[str, Any]]) -> str:
    if target is None:
        return "does not exist"
    sessions = ", ".join("{0} x {1}".format(name, count) for name, count in sorted(target["sessions"].items()))
    return "{0}, sessions: {1}".format(_size(target), sessions or "none")


def _size(target: Mapping[str, Any]) -> str:
    return "{0}, owner {1}".format(spelled_size(target["bytes"]), target["owner"])


def _finding(finding: Mapping[str, Any]) -> List[str]:
    if finding["level"] == BLOCKER:
        lines = _aligned("BLOCKER", "{0}: {1}".format(finding["code"], finding["msg"]))
    else:
        lines = _aligned("remark", finding["msg"])
    return lines + (_aligned("", finding["hint"], mark="-> ") if finding["hint"] else [])


def _aligned(label: str, text: str, *, mark: str = "") -> List[str]:
    """The text behind a label of one width, broken into lines that a terminal has room for."""
    head = "  {0:<8} {1}".format(label, mark)
    return textwrap.wrap(
        " ".join(text.split()), _WIDTH, initial_indent=head, subsequent_indent=" " * len(head),
        break_long_words=False, break_on_hyphens=False,
    )


def _time(guess: Mapping[str, Any]) -> str:
    if guess["seconds"] is None:
        return "unknown"
    return "about {0}, {1}".format(_duration(guess["seconds"]), _BASES[guess["basis"]])


def _duration(seconds: float) -> str:
    if seconds < 90:
        return "{0:.0f} s".format(max(seconds, 1))
    minutes = round(seconds / 60)
    return "{0} min".format(minutes) if minutes < 90 else "{0} h {1:02} min".format(minutes // 60, minutes % 60)


def _room(disk: Mapping[str, Any]) -> str:
    needed = "an unknown amount" if disk["needed"] is None else "up to {0}".format(spelled_size(disk["needed"]))
    if disk["free"] is None:
        return "needs {0}; how much is free cannot be seen from here".format(needed)
    return "needs {0}; {1} free in {2}".format(needed, spelled_size(disk["free"]), disk["where"])


def _texts(title: str, before: List[str], after: List[str]) -> Dict[str, str]:
    return {
        "before_header": title,
        "after_header": title,
        "before": "".join(line + "\n" for line in before),
        "after": "".join(line + "\n" for line in after),
    }
