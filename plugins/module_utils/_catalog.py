# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding backup sets. What is true of a set is in its manifest; the names of folders only lead to it."""

from __future__ import annotations

import os
from typing import Dict, Iterable, List, Optional, Tuple

from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._layout import (
    MANIFEST_FILE,
    database_dir,
    globals_dir,
    instance_dir,
    is_set_id,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._signing import SigningKey
from ansible_collections.pgfleet.backup.plugins.module_utils._stored_set import BackupSet, check_signature, read_set

__all__ = [
    "LATEST",
    "check_owner",
    "find_backup",
    "find_sets",
    "latest",
    "newest_verified",
    "next_sequence",
    "sets_in",
]

LATEST = "latest"

_DO_NOT_RESTORE = "Do not restore it. The newest full backup that this signing_key signed is {0}."

_SHOWN = 20  # databases named in one message
_SHOWN_IDS = 5  # backups named of each

Problem = Dict[str, str]


def find_sets(
    backup_dir: str, *, instance: Optional[str] = None, database: Optional[str] = None,
    key: Optional[SigningKey] = None,
) -> Tuple[List[BackupSet], List[Problem]]:
    """The sets in ``backup_dir``, of one instance and database if given, and the folders that cannot be read as sets.

    Sets are ordered by instance, database and sequence, and read with ``key``. A problem is ``{"path", "msg"}``. No
    folder, no sets.
    """
    sets: List[BackupSet] = []
    problems: List[Problem] = []
    seen = set()
    for instance_folder in _folders(backup_dir, problems):
        for database_folder in _folders(instance_folder, problems):
            # A link beside the folder that it leads to must not make two sets of one: retention would count both.
            real = os.path.realpath(database_folder)
            if real not in seen:
                seen.add(real)
                more_sets, more_problems = sets_in(database_folder, key)
                sets += more_sets
                problems += more_problems
    chosen = [
        item for item in sets
        if instance in (None, item.instance) and database in (None, item.database)
    ]
    return sorted(chosen, key=lambda item: (item.instance, item.database, item.sequence, item.id)), problems


def sets_in(folder: str, key: Optional[SigningKey] = None) -> Tuple[List[BackupSet], List[Problem]]:
    """The sets that lie in the folder of one database, by sequence, and the folders that cannot be read as sets.

    They are read with ``key``.
    """
    sets: List[BackupSet] = []
    problems: List[Problem] = []
    for path in _set_folders(folder, problems):
        try:
            sets.append(read_set(path, key))
        except BackupError as error:
            if os.path.lexists(path):  # else retention took it away meanwhile
                problems.append({"path": path, "msg": error.what})
    return sorted(sets, key=lambda item: (item.sequence, item.id)), problems


def _set_folders(folder: str, problems: List[Problem]) -> List[str]:
    return [
        path for path in _folders(folder, problems)
        if not os.path.islink(path)
        and (is_set_id(os.path.basename(path)) or os.path.lexists(os.path.join(path, MANIFEST_FILE)))
    ]


def _folders(parent: str, problems: List[Problem]) -> List[str]:
    """The visible folders in ``parent`` by name; a ``parent`` that cannot be listed is added to ``problems``."""
    try:
        with os.scandir(parent) as entries:
            # lost+found is what a file system of its own begins with, and only root may look into it.
            return sorted(
                entry.path for entry in entries
                if entry.is_dir() and not entry.name.startswith(".") and entry.name != "lost+found"
            )
    except FileNotFoundError:
        return []
    except OSError as error:
        problems.append({"path": parent, "msg": "{0}: {1}".format(parent, error.strerror)})
        return []


def newest_verified(sets: Iterable[BackupSet]) -> Optional[BackupSet]:
    """The verified one with the highest sequence among sets of one database; a clock may go back."""
    return max((item for item in sets if item.verified), key=lambda item: item.sequence, default=None)


def latest(sets: Iterable[BackupSet]) -> Optional[BackupSet]:
    """What ``backup: latest`` means among the sets of one database: the newest verified full one.

    With a key, one that the key does not vouch for is never passed over, whatever it claims: it shall be met and
    refused, since to go back to an older backup in silence may be just what was wanted by whoever altered it.
    """
    full = (item for item in sets if item.kind == "full" and (item.verified or item.fault))
    return max(full, key=lambda item: item.sequence, default=None)


def next_sequence(sets: Iterable[BackupSet]) -> int:
    """The number for the next set beside these."""
    return max((item.sequence for item in sets), default=0) + 1


def find_backup(
    backup_dir: str, *, instance: str, database: str, backup: str, key: Optional[SigningKey] = None
) -> BackupSet:
    """The set that ``backup`` means: ``latest``, an id, or (with a ``/``) the path to a set from anywhere.

    Raises BACKUP_NOT_FOUND, saying what there is, INVALID_BACKUP_FORMAT for a set that cannot be read, or
    SIGNATURE_INVALID for one that ``key`` does not vouch for.
    """
    if os.sep in backup:
        if not os.path.lexists(backup):
            raise BackupError("BACKUP_NOT_FOUND", "{0} does not exist".format(backup))
        named = read_set(backup, key)
        check_signature(named)
        _check_place(named, backup_dir)
        return named
    sets, problems = find_sets(backup_dir, key=key)
    own = [item for item in sets if (item.instance, item.database) == (instance, database)]
    if backup == LATEST:
        found = latest(own)
    else:
        # A copy under another name may claim the same id.
        found = min((item for item in own if item.id == backup), key=lambda item: bool(item.fault), default=None)
    if found is not None:
        good = newest_verified(item for item in own if item.kind == "full")
        check_signature(found, hint=_DO_NOT_RESTORE.format(good.id) if good else None)
        return found
    for problem in problems:
        if os.path.basename(problem["path"]) == backup:
            read_set(problem["path"], key)  # raises what is wrong with it
    wanted = "verified full backup" if backup == LATEST else "backup {0}".format(backup)
    raise BackupError("BACKUP_NOT_FOUND", "{0} holds no {1} of database {2} of instance {3}. There {4}".format(
        backup_dir, wanted, database, instance, _inventory(sorted(sets, key=lambda item: item not in own))
    ))


def _check_place(found: BackupSet, backup_dir: str) -> None:
    """Raise SIGNATURE_INVALID for a signed set of one database that lies in ``backup_dir`` in the place of another's.

    Who names its path means the database of that folder. In a place of its own choice a set stands for itself.
    """
    place = os.path.dirname(os.path.abspath(found.path))
    if found.key is None or os.path.dirname(os.path.dirname(place)) != os.path.abspath(backup_dir):
        return
    own = (database_dir(backup_dir, found.instance, found.database), globals_dir(backup_dir, found.instance))
    if os.path.realpath(place) not in map(os.path.realpath, own):
        raise BackupError("SIGNATURE_INVALID", "{0}: it was signed as one of database {1} of instance {2}".format(
            found.path, found.database, found.instance))


def _inventory(sets: Iterable[BackupSet]) -> str:
    """One line that names the instances, their databases, and the newest ids of each."""
    ids: Dict[Tuple[str, str], List[str]] = {}
    for item in sets:
        remark = "" if item.verified else ", signature not valid" if item.fault else ", not verified"
        ids.setdefault((item.instance, item.database), []).insert(0, "{0} ({1}{2})".format(item.id, item.kind, remark))
    if not ids:
        return "are no backups at all."
    lines = [
        "{0} / {1}: {2}".format(instance, database, _some(names, _SHOWN_IDS, ", "))
        for (instance, database), names in ids.items()
    ]
    return "are (instance / database): {0}.".format(_some(lines, _SHOWN, "; "))


def _some(items: List[str], count: int, separator: str) -> str:
    more = ["and {0} more".format(len(items) - count)] if len(items) > count else []
    return separator.join(items[:count] + more)


def check_owner(backup_dir: str, instance: str, machine_id: Optional[str]) -> None:
    """Raise INSTANCE_CONFLICT when another machine files its sets under ``instance``.

    Reads at most one manifest of each database. Machines that are not known are not in conflict.
    """
    folder = instance_dir(backup_dir, instance)
    for database_folder in _folders(folder, []) if machine_id else []:
        for path in _set_folders(database_folder, [])[-1:]:
            try:
                other = read_set(path).manifest
            except BackupError:
                continue
            if other["machine_id"] not in (None, "", machine_id):
                raise BackupError("INSTANCE_CONFLICT", "{0} holds backups of another machine, {1}".format(
                    folder, other["hostname"]
                ))
