# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan as the two texts that Ansible's ``--diff`` compares."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping

__all__ = ["plan_diff"]


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
    target, source = plan["target_database"], plan["backup"]["path"]
    before = ["{0}: {1}".format(target, _state(plan["target"]))]
    after = list(before)
    if plan["strategy"] == "drill":
        after += ["(a scratch database, filled from {0}, compared, dropped)".format(source)]
    elif not plan["blockers"]:
        after = ["{0}: restored from {1}".format(target, source)]
        if plan["keep_previous"]:
            after.append("{0}__before_<stamp>: {1}, closed to connections".format(target, _state(plan["target"])))
    after += ["blocked by {0}: {1}".format(item["code"], item["msg"]) for item in plan["blockers"]]
    return _texts("database {0}".format(target), before, after)


def _state(target: Any) -> str:
    if target is None:
        return "does not exist"
    sessions = ", ".join("{0} x {1}".format(count, name) for name, count in sorted(target["sessions"].items()))
    return "{0} bytes, owner {1}, sessions: {2}".format(target["bytes"], target["owner"], sessions or "none")


def _texts(title: str, before: List[str], after: List[str]) -> Dict[str, str]:
    return {
        "before_header": title,
        "after_header": title,
        "before": "".join(line + "\n" for line in before),
        "after": "".join(line + "\n" for line in after),
    }
