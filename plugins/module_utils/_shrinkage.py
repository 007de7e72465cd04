# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a database has shrunk so far against its own history that its new backup must not push out the older ones.

A backup of a database that was emptied by accident is as well formed as any. What it is compared with is the newest
verified set of the same kind, so it stays suspicious until the data is back, or until somebody accepts it.
"""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Mapping

from ansible_collections.pgfleet.backup.plugins.module_utils._catalog import newest_verified
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._findings import spelled_size
from ansible_collections.pgfleet.backup.plugins.module_utils._log import RunLog
from ansible_collections.pgfleet.backup.plugins.module_utils._stored_set import BackupSet

__all__ = ["SUSPICIOUS", "judged", "shrinkage", "suspicion"]

SUSPICIOUS = "suspicious"

_CODE = "BACKUP_SUSPICIOUS"
_JUDGED = ("full", "filtered")  # one taken of what a restore is about to replace may well be of a wreck
# Less than half is a collapse. Below these floors a database is small enough for that to be a day's work.
_ROWS = 1000
_TABLES = 4
_LARGE_OBJECTS = 100
_BYTES = 1 << 20
# A table that held this part of all rows, and is empty now, is missed even if the others make up for it.
_LARGE_TABLE = 4


def judged(
    manifest: Mapping[str, Any], files: Iterable[Mapping[str, Any]], sets: Iterable[BackupSet], *, accept: bool,
    log: RunLog,
) -> Dict[str, Any]:
    """``manifest``, made suspicious and with one more warning if its database has collapsed; ``accept`` only tells.

    ``files`` are those of the new set, ``sets`` what lies beside it.
    """
    before = newest_verified(item for item in sets if _series(item.manifest) == _series(manifest))
    if before is None or manifest["kind"] not in _JUDGED:
        return dict(manifest)
    found = shrinkage(dict(manifest, files=list(files)), before.manifest)
    if not found:
        return dict(manifest)
    text = "{0} has shrunk since the backup {1}: {2}".format(manifest["database"], before.id, "; ".join(found))
    text = "{0}; accepted, since accept_shrinkage is set".format(text) if accept else "{0}: {1}".format(_CODE, text)
    log.add_warning(text)
    return dict(
        manifest, status=manifest["status"] if accept else SUSPICIOUS,
        warnings=[*manifest["warnings"], log.warnings[-1]],
    )


def shrinkage(now: Mapping[str, Any], before: Mapping[str, Any]) -> List[str]:
    """In what the manifest ``now`` has collapsed against ``before``, each in a few words with the numbers."""
    found: List[str] = []
    new, old = now["fingerprint"], before["fingerprint"]
    if new and old:
        rows, were = sum(new["tables"].values()), sum(old["tables"].values())
        for what, count, was, floor, none_is_enough in (
            ("rows", rows, were, _ROWS, True),
            ("tables", len(new["tables"]), len(old["tables"]), _TABLES, True),
            ("large objects", new["large_objects"], old["large_objects"], _LARGE_OBJECTS, False),
        ):
            if (was >= floor and 2 * count < was) or (none_is_enough and was and not count):
                found.append("{0:,} {1}, and {2:,} before".format(count, what, was))
        if rows:
            found += [
                "{0} is empty, and had {1:,} rows".format(name, was) for name, was in sorted(old["tables"].items())
                if new["tables"].get(name) == 0 and was >= _ROWS and _LARGE_TABLE * was >= were
            ]
    if all(now[key] == before[key] for key in ("format", "compression")):
        size, was = (sum(file["size"] for file in manifest["files"]) for manifest in (now, before))
        if was >= _BYTES and 2 * size < was:
            found.append("{0}, and {1} before".format(spelled_size(size), spelled_size(was)))
    return found


def suspicion(backup: BackupSet) -> BackupError:
    """What a run fails with that shall not end well with the suspicious set ``backup``, which it brings along."""
    start = _CODE + ": "
    told = [line[len(start):] for line in backup.manifest["warnings"] if line.startswith(start)]
    return BackupError(_CODE, "; ".join(told), result={"published": dict(backup.describe(), changed=True)})


def _series(manifest: Mapping[str, Any]) -> List[Any]:
    return [manifest[key] for key in ("instance", "database", "kind", "filters")]
