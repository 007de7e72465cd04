# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which sets of a managed host are to be brought here, which are here already, and which copies may go."""

from __future__ import annotations

import os
from datetime import datetime
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Tuple

from ansible_collections.pgfleet.backup.plugins.module_utils._backup_options import read_count
from ansible_collections.pgfleet.backup.plugins.module_utils._catalog import LATEST, latest, sets_in
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._layout import (
    GLOBALS,
    database_dir,
    encode_part,
    globals_dir,
    is_set_id,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._log import RunLog
from ansible_collections.pgfleet.backup.plugins.module_utils._manifest import LEVELS, check_manifest
from ansible_collections.pgfleet.backup.plugins.module_utils._retention import RetentionPolicy, choose
from ansible_collections.pgfleet.backup.plugins.module_utils._signing import SigningKey, read_signing_key
from ansible_collections.pgfleet.backup.plugins.module_utils._stored_set import BackupSet

__all__ = ["FetchOptions", "FetchPlan", "host_sets", "plan_folder", "read_fetch_options", "wanted"]

MISSING = "missing"

# What the host found, verdicts and signatures included, stands for the verdicts that are not in its list.
_VERDICTS = {True: {"level": LEVELS[-1], "result": "ok"}, False: {"level": LEVELS[-1], "result": "failed"}}
_UNSIGNED = "it is not signed by this signing_key, or was altered"


class FetchOptions(NamedTuple):
    """``dest`` is the folder of this host: it is laid out as a ``backup_dir``."""

    dest: str
    backup: str
    retention: RetentionPolicy
    lock_timeout: int
    signing_key: Optional[SigningKey]


class FetchPlan(NamedTuple):
    """What is to be done in the folder of one database. ``present`` pairs a host's set with the copy that is here."""

    folder: str
    fetch: List[BackupSet]
    present: List[Tuple[BackupSet, BackupSet]]
    prune: List[BackupSet]

    def describe(self) -> Dict[str, Any]:
        """What results show of it."""
        return {
            "folder": self.folder,
            "fetch": [item.id for item in self.fetch],
            "bytes": sum(item.bytes for item in self.fetch),
            "present": [item.id for item, _copy in self.present],
            "prune": [item.id for item in self.prune],
        }


def read_fetch_options(params: Mapping[str, Any], host: str) -> FetchOptions:
    """Read the options of the task on ``host`` (its name in the inventory). Raises ``INVALID_DB_CONFIG``."""
    if not os.path.isabs(params["dest"]):
        raise BackupError("INVALID_DB_CONFIG", "dest={0} is not an absolute path".format(params["dest"]))
    backup = str(params.get("backup") or LATEST).strip()
    if backup not in (LATEST, MISSING) and not is_set_id(backup):
        raise BackupError("INVALID_DB_CONFIG", "backup={0} is neither {1}, {2} nor the id of a backup".format(
            backup, LATEST, MISSING))
    return FetchOptions(
        dest=os.path.join(os.path.normpath(params["dest"]), encode_part(host)),
        backup=backup,
        retention=RetentionPolicy.from_options(params.get("retention")),
        lock_timeout=read_count(params, "lock_timeout"),
        signing_key=read_signing_key(params),
    )


def host_sets(entries: Iterable[Mapping[str, Any]], log: RunLog) -> List[BackupSet]:
    """The sets that ``pg_backup_info`` listed on a host. What cannot be one is told in the log and left there."""
    sets = []
    for entry in entries:
        try:
            check_manifest(entry)
            if not is_set_id(entry["id"]):
                raise ValueError("id cannot be {0!r}".format(entry["id"][:100]))
            fault = _UNSIGNED if entry["signature_valid"] is False else ""
            sets.append(BackupSet(entry["path"], entry, [_VERDICTS[entry["verified"] is True]], None, fault))
        except (KeyError, ValueError) as error:
            log.add_warning("{0} on the host is left there: {1}".format(entry.get("path"), error))
    return sets


def wanted(sets: List[BackupSet], options: FetchOptions) -> Dict[str, List[BackupSet]]:
    """The sets that ``backup`` means, the newest first, by the folder here that each belongs in.

    Raises BACKUP_NOT_FOUND when it means none.
    """
    folders: Dict[str, Dict[str, BackupSet]] = {}
    # A copy of a set may lie in another folder of the host: of two with one id, the better one counts.
    for item in sorted(sets, key=lambda item: (bool(item.fault), not item.verified)):
        folders.setdefault(_folder(options.dest, item), {}).setdefault(item.id, item)
    chosen = {}
    for folder, items in folders.items():
        meant = sorted(_meant(list(items.values()), options.backup), key=lambda item: item.sequence, reverse=True)
        if meant:
            chosen[folder] = meant
    if not chosen:
        kind = {LATEST: "no verified full backup", MISSING: "no verified backup"}.get(
            options.backup, "no backup {0}".format(options.backup))
        raise BackupError("BACKUP_NOT_FOUND", "the host holds {0}; of {1} that were looked at none is meant".format(
            kind, len(sets)))
    return chosen


def _folder(dest: str, item: BackupSet) -> str:
    if item.kind == "globals" and item.database == GLOBALS:
        return globals_dir(dest, item.instance)
    return database_dir(dest, item.instance, item.database)


def _meant(items: List[BackupSet], backup: str) -> List[BackupSet]:
    if backup == MISSING:
        return [item for item in items if item.verified]
    if backup != LATEST:
        return [item for item in items if item.id == backup]
    found = latest(items) or max(
        (item for item in items if item.kind == "globals" and (item.verified or item.fault)),
        key=lambda item: item.sequence, default=None,
    )
    return [found] if found else []


def plan_folder(folder: str, sets: List[BackupSet], options: FetchOptions, now: datetime) -> FetchPlan:
    """What is to be done for ``sets``, all of one database, beside what lies in ``folder``.

    A set that the retention would remove at once is not brought. Who names an id gets it, and loses nothing.
    """
    copies, _problems = sets_in(folder, options.signing_key)
    here = {copy.id: copy for copy in copies}
    present = [(item, here[item.id]) for item in sets if item.id in here]
    absent = [item for item in sets if item.id not in here]
    if options.backup not in (LATEST, MISSING) or options.retention.empty:
        return FetchPlan(folder, absent, present, [])
    removable = choose(copies + absent, options.retention, now)[1]
    return FetchPlan(
        folder,
        fetch=[item for item in absent if item not in removable],
        present=present,
        prune=[item for item in removable if item in copies],
    )
