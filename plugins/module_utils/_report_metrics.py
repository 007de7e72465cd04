# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report as metrics in Prometheus' text format, for the textfile collector of its node exporter."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, Tuple

from ansible_collections.pgfleet.backup.plugins.module_utils._report_model import RISKS, epoch

__all__ = ["to_metrics"]


def _of_last(key: str) -> Callable[[Mapping[str, Any]], Any]:
    return lambda row: (row["last_backup"] or {}).get(key)


def _created(row: Mapping[str, Any]) -> Any:
    return epoch(row["last_backup"]["created"]) if row["last_backup"] else None


def _drilled(row: Mapping[str, Any]) -> Any:
    drill = row["last_drill"]
    return epoch(drill["at"]) if drill and drill["result"] == "ok" else None


def _drill_seconds(row: Mapping[str, Any]) -> Any:
    return row["last_drill"]["seconds"] if row["last_drill"] else None


# What is not known has no sample, so that an alert can ask for absence.
_OF_A_DATABASE: Tuple[Tuple[str, str, Callable[[Mapping[str, Any]], Any]], ...] = (
    ("pgfleet_backup_last_success_timestamp_seconds", "When the last verified backup was begun.", _created),
    ("pgfleet_backup_age_seconds", "Age of the last verified backup at the report.", _of_last("age_seconds")),
    ("pgfleet_backup_size_bytes", "Size of the last verified backup.", _of_last("bytes")),
    ("pgfleet_backup_duration_seconds", "How long the last verified backup took.", _of_last("seconds")),
    ("pgfleet_backup_rpo_seconds", "How old the last verified backup may be.", lambda row: row["rpo_seconds"]),
    ("pgfleet_backup_within_rpo", "1 when it is young enough.", lambda row: int(row["within_rpo"])),
    ("pgfleet_backup_safe", "1 when a verified copy of it is off its host.", lambda row: int(row["safe"])),
    ("pgfleet_backup_failed", "1 when the last run went wrong for this database.",
     lambda row: int(row["outcome"] in ("failed", "uncovered", "unreachable", "suspicious"))),
    ("pgfleet_drill_last_success_timestamp_seconds", "When the last drill ended, if it succeeded.", _drilled),
    ("pgfleet_drill_duration_seconds", "How long the last drill took.", _drill_seconds),
)


def to_metrics(document: Mapping[str, Any]) -> bytes:
    """The text of ``document``, the report."""
    lines: List[str] = []
    for name, text, read in _OF_A_DATABASE:
        samples = []
        for row in document["rows"]:
            value = read(row)
            if value is not None:
                samples.append((_labels({key: row[key] for key in ("host", "instance", "database")}), value))
        lines += _metric(name, text, samples)
    summary = document["summary"]
    lines += _metric("pgfleet_fleet_databases", "Databases of each risk.", [
        (_labels({"risk": risk}), summary["risks"][risk]) for risk in RISKS])
    lines += _metric("pgfleet_fleet_hosts", "Hosts in the report.", [("", summary["hosts"])])
    lines += _metric("pgfleet_fleet_size_bytes", "Size of the last verified backups.", [("", summary["bytes"])])
    lines += _metric("pgfleet_fleet_problems", "Fragments and entries that were not understood.", [
        ("", summary["problems"])])
    lines += _metric("pgfleet_fleet_report_timestamp_seconds", "When the report was made.", [
        ("", epoch(document["generated"]))])
    return ("\n".join(lines) + "\n").encode("utf-8")


def _metric(name: str, text: str, samples: List[Tuple[str, Any]]) -> List[str]:
    if not samples:
        return []
    head = ["# HELP {0} {1}".format(name, text), "# TYPE {0} gauge".format(name)]
    return head + ["{0}{1} {2}".format(name, labels, value) for labels, value in samples]


def _labels(labels: Dict[str, str]) -> str:
    return "{{{0}}}".format(",".join('{0}="{1}"'.format(name, _escaped(value)) for name, value in labels.items()))


def _escaped(value: str) -> str:
    # A byte that is not UTF-8 would be an escape that no parser knows, and one such label spoils the whole file.
    valid = value.encode("utf-8", "backslashreplace").decode("utf-8")
    return valid.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
