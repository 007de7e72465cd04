# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The story of the fleet's report: read what the runs left, merge, judge, and write it where people look."""

from __future__ import annotations

import gc
import os
import time
from typing import Any, Dict, Iterator, List, Mapping, Tuple

from ansible_collections.pgfleet.backup.plugins.module_utils._backup_options import read_age
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._manifest import to_json
from ansible_collections.pgfleet.backup.plugins.module_utils._report_document import describe
from ansible_collections.pgfleet.backup.plugins.module_utils._report_html import to_html
from ansible_collections.pgfleet.backup.plugins.module_utils._report_judge import judge
from ansible_collections.pgfleet.backup.plugins.module_utils._report_merge import Problem, merge, read_folder
from ansible_collections.pgfleet.backup.plugins.module_utils._report_metrics import to_metrics
from ansible_collections.pgfleet.backup.plugins.module_utils._report_model import epoch
from ansible_collections.pgfleet.backup.plugins.module_utils._storage import replace_file, storage_errors

__all__ = ["report"]

_HINT = "Give a report_dir in which the task's user may create files."
_BAD = ("failed", "stale", "uncovered", "unreachable", "suspicious")
_SHOWN = 100  # rows and problems that are returned; job events are stored, and report.json has all of them


def report(params: Mapping[str, Any], *, check: bool, result: Dict[str, Any]) -> None:
    """Render the report, filling ``result`` with the module's return keys. With ``check`` nothing is written.

    Raises ``INVALID_DB_CONFIG``, ``BACKUP_DIR_UNUSABLE`` or ``NO_SPACE``.
    """
    now = _generated(params)
    rpo = read_age(params.get("rpo"), where="rpo")
    if not rpo:
        raise BackupError("INVALID_DB_CONFIG", "rpo={0} is no time".format(params.get("rpo")))
    mode = _file_mode(params.get("mode"))
    problems: List[Problem] = []
    gc.disable()  # it would look again and again at a year of a fleet, and there are no cycles in it
    hosts = merge(_documents(params, problems), problems, expected=params.get("expected_hosts") or ())
    rows = judge(hosts, now=now, rpo=int(rpo.total_seconds()), exclude=params.get("exclude_databases") or ())
    document = describe(hosts, rows, problems, title=params.get("title") or "", now=now)
    result.update(_returned(document))
    folder = os.path.abspath(params["report_dir"])
    result["paths"] = {}
    for key, name, content in _files(document):
        result["paths"][key] = os.path.join(folder, name)
        result["changed"] = _put(folder, name, content, mode=mode, check=check) or result["changed"]


def _documents(params: Mapping[str, Any], problems: List[Problem]) -> Iterator[Tuple[str, Any]]:
    if params.get("fragments_dir"):
        yield from read_folder(params["fragments_dir"], problems)
    for number, fragment in enumerate(params.get("fragments") or []):
        yield "fragments[{0}]".format(number), fragment


def _files(document: Mapping[str, Any]) -> List[Tuple[str, str, bytes]]:
    return [
        ("json", "report.json", to_json(document)),
        ("metrics", "metrics.prom", to_metrics(document)),
        ("html", "report.html", to_html(document)),
    ]


def _generated(params: Mapping[str, Any]) -> int:
    if not params.get("generated"):
        return int(time.time())
    try:
        return epoch(params["generated"])
    except ValueError as error:
        raise BackupError("INVALID_DB_CONFIG", "generated: {0}".format(error)) from error


def _file_mode(mode: Any) -> int:
    """A number as YAML reads 0644, or the text of one. Raises ``INVALID_DB_CONFIG``."""
    try:
        number = mode if isinstance(mode, int) else int(str(mode), 8)
    except ValueError:
        number = -1
    if not 0o400 <= number <= 0o777:
        raise BackupError("INVALID_DB_CONFIG", "mode={0} is not one such as '0644'".format(mode))
    return number


def _returned(document: Mapping[str, Any]) -> Dict[str, Any]:
    """What the task returns: all of the summary, and of the rows only the bad ones."""
    bad = [row for row in document["rows"] if row["outcome"] in _BAD or row["risk"] not in ("safe", "unsafe")]
    verdicts: Dict[str, List[str]] = {}
    for row in bad:
        verdicts.setdefault(row["host"], []).append(_line(row))
    without_curve = [{key: value for key, value in row.items() if key != "sizes"} for row in bad[:_SHOWN]]
    return {
        "changed": False,
        "summary": document["summary"],
        "problems": document["problems"][:_SHOWN],
        "rows": without_curve,
        "verdicts": {host: "; ".join(lines[:10]) for host, lines in verdicts.items()},
    }


def _line(row: Mapping[str, Any]) -> str:
    name = "/".join(part for part in (row["instance"], row["database"]) if part) or row["host"]
    why = row["msg"] or {"lost": "no verified backup", "late": "the last verified backup is older than its RPO"}.get(
        row["risk"], "")
    return "{0}: {1}{2}".format(name, row["outcome"], ", " + why if why else "")


def _put(folder: str, name: str, content: bytes, *, mode: int, check: bool) -> bool:
    """Let the file ``name`` have that content and mode, at one stroke; whether that changes it."""
    path = os.path.join(folder, name)
    try:
        with open(path, "rb") as file:
            same = file.read() == content and os.fstat(file.fileno()).st_mode & 0o7777 == mode
    except OSError:
        same = False
    if same or check:
        return not same
    try:
        with storage_errors(folder):
            os.makedirs(folder, exist_ok=True)
        replace_file(path, content, mode=mode)
    except BackupError as error:
        raise BackupError(error.code, error.what, hint=None if error.code == "NO_SPACE" else _HINT) from error
    return True
