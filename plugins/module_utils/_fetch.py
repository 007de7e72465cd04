# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The story of bringing backup sets from a managed host to the controller, told top to bottom."""

from __future__ import annotations

import time
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any, Dict, Iterable, Iterator, List, Mapping

from ansible_collections.pgfleet.backup.plugins.module_utils._backup_set import probe_backup_dir, sweep_partials
from ansible_collections.pgfleet.backup.plugins.module_utils._catalog import sets_in
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._fetch_copy import SetCopy
from ansible_collections.pgfleet.backup.plugins.module_utils._fetch_plan import (
    FetchOptions,
    FetchPlan,
    host_sets,
    plan_folder,
    wanted,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._lasting import require_lasting
from ansible_collections.pgfleet.backup.plugins.module_utils._layout import VERIFICATION_FILE
from ansible_collections.pgfleet.backup.plugins.module_utils._lock import database_lock
from ansible_collections.pgfleet.backup.plugins.module_utils._remote_files import RemoteFiles
from ansible_collections.pgfleet.backup.plugins.module_utils._retention import prune
from ansible_collections.pgfleet.backup.plugins.module_utils._session import Run
from ansible_collections.pgfleet.backup.plugins.module_utils._stored_set import (
    BackupSet,
    adopt_verdicts,
    check_signature,
    read_set,
)

__all__ = ["check_dest", "fetch"]

# These say something of one set. Any other failure would meet the next set as well.
_OF_ONE_SET = ("BACKUP_NOT_FOUND", "CHECKSUM_MISMATCH", "INVALID_BACKUP_FORMAT", "SIGNATURE_INVALID")


def check_dest(options: FetchOptions, env: Mapping[str, str]) -> None:
    """Raise INVALID_DB_CONFIG or BACKUP_DIR_UNUSABLE for a folder that cannot hold copies, before anything is done."""
    require_lasting(options.dest, option="dest", env=env)
    try:
        probe_backup_dir(options.dest)
    except BackupError as error:
        hint = "Give a dest in which the user who runs Ansible may create folders and files."
        raise BackupError(error.code, error.what, hint=hint) from error


def fetch(
    options: FetchOptions, entries: Iterable[Mapping[str, Any]], files: RemoteFiles, *, run: Run, check: bool,
    result: Dict[str, Any],
) -> None:
    """Bring what ``options`` ask for of ``entries``, the host's sets, filling ``result`` as it becomes known.

    With ``check`` it only plans. Raises BackupError; what was published until then stays, and is in ``result``.
    """
    started = time.monotonic()
    result.update(changed=False, fetched=[], present=[], pruned=[], failed_backups=[], plan=[], bytes=0, seconds=0.0)
    try:
        for folder, sets in wanted(host_sets(entries, run.log), options).items():
            if check:
                plan = plan_folder(folder, sets, options, _now())
                result["plan"].append(plan.describe())
                result["present"] += [_describe(copy, original) for original, copy in plan.present]
                result["changed"] = result["changed"] or bool(plan.fetch or plan.prune)
            else:
                with database_lock(folder, timeout=options.lock_timeout):
                    plan = plan_folder(folder, sets, options, _now())
                    result["plan"].append(plan.describe())
                    _carry_out(plan, options, files, run=run, result=result)
    finally:
        result["seconds"] = round(time.monotonic() - started, 3)
        result["changed"] = result["changed"] or bool(result["fetched"] or result["pruned"])
    if result["failed_backups"]:
        raise _some_failed(result["failed_backups"])


def _carry_out(
    plan: FetchPlan, options: FetchOptions, files: RemoteFiles, *, run: Run, result: Dict[str, Any]
) -> None:
    """Bring the sets of one database, under its lock, and prune its copies when nothing failed."""
    for path in sweep_partials(plan.folder, keep=[item.id for item in plan.fetch]):
        run.log.add("Removed what an earlier run left unfinished: {0}".format(path))
    failed = len(result["failed_backups"])
    for original, copy in plan.present:
        with _told(original, run, result):
            _compare(original, copy)
            if _renew_verdicts(original, copy, files):
                run.log.add("Brought the newest verdicts on {0}".format(copy.path))
                result["changed"] = True
            result["present"].append(_describe(read_set(copy.path, options.signing_key), original))
    for original in plan.fetch:
        with _told(original, run, result):
            check_signature(original)
            copying = SetCopy(files, original, plan.folder, options.signing_key)
            try:
                copy = copying.fetch()
            finally:
                result["bytes"] += copying.transferred
            run.log.add("Fetched {0}, {1} bytes of {2} over the connection".format(
                copy.path, copying.transferred, copy.bytes))
            result["fetched"].append(_describe(copy, original))
    if plan.prune and len(result["failed_backups"]) == failed:
        copies, _problems = sets_in(plan.folder, options.signing_key)
        for path in prune(copies, options.retention, _now()):
            run.log.add("Retention removed {0}".format(path))
            result["pruned"].append(path)


@contextmanager
def _told(original: BackupSet, run: Run, result: Dict[str, Any]) -> Iterator[None]:
    """Tell a failure of the block in ``failed_backups``; let it pass when it is of this set alone."""
    try:
        yield
    except BackupError as error:
        msg = run.redactor(error.msg)
        run.log.add("{0}: {1}".format(original.path, msg))
        result["failed_backups"].append({
            "instance": original.instance, "database": original.database, "id": original.id,
            "code": error.code, "msg": msg, "hint": error.hint, "retryable": error.retryable,
        })
        if error.code not in _OF_ONE_SET:
            raise


def _compare(original: BackupSet, copy: BackupSet) -> None:
    """Raise SIGNATURE_INVALID or CHECKSUM_MISMATCH for a copy that is no copy of ``original`` any more."""
    check_signature(copy)
    if any(original.manifest[key] != copy.manifest[key] for key in ("files", "signature")):
        raise BackupError(
            "CHECKSUM_MISMATCH", "{0} on the host and {1} have one id and different content".format(
                original.path, copy.path),
            hint="One of the two manifests was altered after the copy was made. Prove both with pg_backup_info "
                 "(verify=checksum, and signing_key if there is one), and remove the bad one.",
        )


def _renew_verdicts(original: BackupSet, copy: BackupSet, files: RemoteFiles) -> bool:
    """Bring the verdicts that the host's set got since it was copied, such as a drill's; whether there were any."""
    told = copy.describe()
    if all(original.manifest.get(key) == told[key] for key in ("verified", "level", "drill")):
        return False
    content = files.read_whole(original.path, VERIFICATION_FILE)
    try:
        return content is not None and adopt_verdicts(copy, content)
    except (ValueError, TypeError) as error:
        raise BackupError("INVALID_BACKUP_FORMAT", "{0}/{1} on the host cannot be used: {2}".format(
            original.path, VERIFICATION_FILE, error)) from error


def _describe(copy: BackupSet, original: BackupSet) -> Dict[str, Any]:
    """What results show of a copy; the manifest beside it has the rest."""
    return {
        "instance": copy.instance, "database": copy.database, "id": copy.id, "kind": copy.kind,
        "created": copy.manifest["created"], "bytes": copy.bytes, "verified": copy.verified,
        "where": "controller", "path": copy.path, "host_path": original.path,
    }


def _some_failed(failed: List[Dict[str, Any]]) -> BackupError:
    codes = {item["code"] for item in failed}
    return BackupError(
        codes.pop() if len(codes) == 1 else "BACKUP_FAILED",
        "{0} backups could not be fetched: {1}".format(len(failed), "; ".join(
            "{instance}/{database}/{id} ({msg})".format(**item) for item in failed)),
        hint=failed[0]["hint"],
        retryable=all(item["retryable"] for item in failed),
    )


def _now() -> datetime:
    return datetime.now(timezone.utc)
