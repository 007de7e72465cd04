# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The story of a backup, told top to bottom."""

from __future__ import annotations

import os
import secrets
import time
from contextlib import ExitStack
from datetime import datetime, timezone
from typing import Any, Dict, List, Mapping, Optional, Sequence

from ansible_collections.pgfleet.backup.plugins.module_utils import _queries
from ansible_collections.pgfleet.backup.plugins.module_utils._backup_manifest import SetIdentity, database_manifest
from ansible_collections.pgfleet.backup.plugins.module_utils._backup_options import BackupOptions, read_backup_options
from ansible_collections.pgfleet.backup.plugins.module_utils._backup_set import (
    PartialSet,
    ensure_backup_dir,
    probe_backup_dir,
    sweep_partials,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._catalog import (
    check_owner,
    newest_verified,
    next_sequence,
    sets_in,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._cipher import check_encryption
from ansible_collections.pgfleet.backup.plugins.module_utils._clients import check_patched
from ansible_collections.pgfleet.backup.plugins.module_utils._compression import require_compression
from ansible_collections.pgfleet.backup.plugins.module_utils._context import IN_CONTAINER
from ansible_collections.pgfleet.backup.plugins.module_utils._credentials_file import write_credentials
from ansible_collections.pgfleet.backup.plugins.module_utils._databases import is_worth_a_backup, list_databases
from ansible_collections.pgfleet.backup.plugins.module_utils._encodings import shared_text
from ansible_collections.pgfleet.backup.plugins.module_utils._freshness import fresh_set
from ansible_collections.pgfleet.backup.plugins.module_utils._globals import roles_script
from ansible_collections.pgfleet.backup.plugins.module_utils._layout import (
    GLOBALS,
    GLOBALS_FILE,
    database_dir,
    default_credentials_file,
    globals_dir,
    new_set_id,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._lock import Slots, database_lock
from ansible_collections.pgfleet.backup.plugins.module_utils._machine import machine_id
from ansible_collections.pgfleet.backup.plugins.module_utils._own_folder import sweep_own_folders
from ansible_collections.pgfleet.backup.plugins.module_utils._restore_md import restore_md
from ansible_collections.pgfleet.backup.plugins.module_utils._retention import choose, prune
from ansible_collections.pgfleet.backup.plugins.module_utils._session import (
    Run,
    Session,
    instance_name,
    open_session,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._shrinkage import SUSPICIOUS, judged, suspicion
from ansible_collections.pgfleet.backup.plugins.module_utils._side_by_side import Work, do_all, some_failed
from ansible_collections.pgfleet.backup.plugins.module_utils._sql import together
from ansible_collections.pgfleet.backup.plugins.module_utils._stored_set import BackupSet, read_set

__all__ = ["back_up", "back_up_database"]


def back_up(
    params: Mapping[str, Any], env: Mapping[str, str], *, run: Run, check: bool, result: Dict[str, Any]
) -> None:
    """Back up one database or all, filling ``result`` with the module's return keys as they become known.

    With ``check`` it discovers, connects and plans, and changes nothing. Raises ``BackupError``.
    """
    options = read_backup_options(params)
    if options.encryption:
        check_encryption(options.encryption, options.identity_file)
        run.log.add("Encrypted on the way, so streamed in the {0} format, which restores without parallel jobs".format(
            options.format))
    result.update(backups=[], failed_databases=[], pruned=[], plan={}, run_id=run.run_id)
    probe_backup_dir(options.backup_dir)
    session = open_session(
        params, env, run=run, database=options.database, maintenance=options.all_databases
    )
    result["context"] = session.describe()
    check_patched(session.executor.client, options.tools, required=options.require_patched_client, log=run.log)
    instance = instance_name(session.context, options.instance)
    check_owner(options.backup_dir, instance, machine_id())
    require_compression(session.executor, options.format, options.compression)
    databases = _databases(session, options)
    result["plan"] = _plan(session, options, instance, list(databases))
    if check:
        result["changed"] = any(not item["fresh"] for item in result["plan"]["databases"])
        return
    if options.start_jitter and any(not item["fresh"] for item in result["plan"]["databases"]):
        _wait(session, options.start_jitter)
    os.umask(0o077)  # pg_dump writes files of its own; a hostile umask must neither open nor lock them
    ensure_backup_dir(options.backup_dir)
    for path in sweep_own_folders():
        run.log.add("Removed what a killed run left: {0}".format(path))
    works = _works(options, instance, databases, result["plan"])
    do_all(session, options, works, lambda outcome: outcome.into(result, run))
    result["context"] = session.describe()  # by now it is known how the bytes travel
    result["changed"] = any(backup["changed"] for backup in result["backups"]) or bool(result["pruned"])
    if result["failed_databases"]:
        raise some_failed(result["failed_databases"], len(result["backups"]))
    _persist_credentials(session, params, options)


def _wait(session: Session, most: int) -> None:
    """Begin at some moment of the next ``most`` seconds."""
    seconds = secrets.randbelow(most * 1000 + 1) / 1000
    session.executor.log.add("Waiting {0:.1f} s before the start, of up to {1} s (start_jitter)".format(seconds, most))
    with session.executor.log.progress.step("waiting to start"):
        time.sleep(seconds)


def _works(
    options: BackupOptions, instance: str, databases: Mapping[str, Optional[int]], plan: Mapping[str, Any]
) -> List[Work]:
    """What is to be backed up: the databases, and with all of them the cluster's globals."""
    slots = Slots(options.backup_dir, options.max_concurrent)
    fresh = {planned["database"] for planned in plan["databases"] if planned["fresh"]}

    def of_database(name: str) -> Work:
        return Work(
            name, 0 if name in fresh else databases[name] or 0,
            lambda session, options, pruned: back_up_database(
                session, options, instance, name, pruned=pruned, slots=slots),
        )

    works = [of_database(name) for name in databases]
    if options.all_databases and options.include_globals:
        from ansible_collections.pgfleet.backup.plugins.module_utils._globals_set import back_up_globals  # noqa: PLC0415

        works.append(Work(
            GLOBALS, 0,
            lambda session, options, pruned: back_up_globals(session, options, instance, pruned=pruned),
        ))
    return works


def back_up_database(
    session: Session, options: BackupOptions, instance: str, database: str, *, pruned: List[str],
    slots: Optional[Slots] = None,
) -> Dict[str, Any]:
    """Back up one database under its lock, at one of the ``slots``; the entry for ``backups``.

    Paths that retention removed join ``pruned``.
    """
    folder = database_dir(options.backup_dir, instance, database)
    log, executor = session.executor.log, session.executor
    with database_lock(folder, timeout=options.lock_timeout, pause=executor.pause):
        for path in sweep_partials(folder):
            log.add("Removed what an earlier run left unfinished: {0}".format(path))
        sets, _problems = sets_in(folder, options.signing_key)
        fresh = fresh_set(sets, options, _now(), instance=instance, database=database)
        if fresh is not None:
            log.add("{0}: the verified backup {1} is younger than max_age".format(database, fresh.id))
            return dict(fresh.describe(), status="fresh", changed=False)
        slots = slots or Slots(options.backup_dir, options.max_concurrent)
        place = slots.take(options.lock_timeout, executor.pause)
        with place, executor.time_limit(options.timeout):
            published = _make_set(session, options, instance, database, folder, sets)
            if options.verify == "restore":
                from ansible_collections.pgfleet.backup.plugins.module_utils._drill import drill_into_verdict  # noqa: PLC0415

                published = drill_into_verdict(
                    session, published, jobs=options.jobs, identity_file=options.identity_file)
        log.add("{0}: published {1}".format(database, published.path))
        if published.verified:  # what was not proven makes nothing else dispensable
            for path in prune(sets + [published], options.retention, _now()):
                log.add("Retention removed {0}".format(path))
                pruned.append(path)
        others = sum(bool(item.fault) for item in sets)
        if others and not options.retention.empty:
            log.add("Retention leaves alone {0} backups that this signing_key did not sign".format(others))
    if options.fail_on_suspicious and published.status == SUSPICIOUS:
        raise suspicion(published)
    return dict(published.describe(), changed=True)


def _make_set(
    session: Session, options: BackupOptions, instance: str, database: str, folder: str, sets: Sequence[BackupSet]
) -> BackupSet:
    from ansible_collections.pgfleet.backup.plugins.module_utils._dump import plan_dump, write_dump  # noqa: PLC0415
    from ansible_collections.pgfleet.backup.plugins.module_utils._sealed_dump import (  # noqa: PLC0415
        keep_properties,
        keep_text,
    )

    executor = session.executor
    warnings_before = len(executor.log.warnings)
    created = _now()
    identity = SetIdentity(new_set_id(created), executor.run_id, instance, database, next_sequence(sets), created)
    superuser = bool(session.server["superuser"])
    questions = {"facts": _queries.DATABASE}
    if options.include_globals:
        questions["roles"] = _queries.roles(with_verifiers=superuser)
    answers = executor.query_json(together(questions), database=database)
    answers = shared_text(answers, answers["facts"]["encoding"])
    facts: Dict[str, Any] = answers["facts"]
    roles: List[Dict[str, Any]] = answers.get("roles", [])
    with ExitStack() as stack:
        room = stack.enter_context(executor.staging()) if options.format == "directory" else None
        plan = plan_dump(
            executor, options, database_bytes=facts["bytes"], encoding=facts["encoding"], room=room
        )
        partial = stack.enter_context(PartialSet.create(folder, identity.set_id))
        if options.include_globals:
            if not superuser:
                executor.log.add_warning(
                    "{0}: only a superuser can read password verifiers; roles are kept without".format(database)
                )
            keep_text(partial, GLOBALS_FILE, roles_script(roles, database=database), options)
        before = newest_verified(item for item in sets if item.kind == options.kind)
        dumped = write_dump(executor, partial, database, plan, options, before=before)
        manifest = database_manifest(
            session, identity, options, dumped,
            facts=facts,
            roles=[role["row"]["rolname"] for role in roles],
            finished=_now(),
            warnings=executor.log.warnings[warnings_before:],
        )
        manifest = keep_properties(partial, manifest, options)
        manifest = judged(manifest, partial.files, sets, accept=options.accept_shrinkage, log=executor.log)
        page = restore_md(
            manifest, [entry["path"] for entry in partial.files],
            signed=options.signing_key is not None, packed=dumped.plan.packed,
        )
        path = partial.publish(manifest, page, key=options.signing_key)
    return read_set(path, options.signing_key)


def _databases(session: Session, options: BackupOptions) -> Dict[str, Optional[int]]:
    """The databases that are meant, with their bytes where these are known."""
    if not options.all_databases:
        return {session.context.database: None}
    found = list_databases(session.executor, session.maintenance_db)
    return {item["name"]: item["bytes"] for item in found if item["name"] not in options.exclude_databases}


def _plan(session: Session, options: BackupOptions, instance: str, databases: List[str]) -> Dict[str, Any]:
    """What will be done, without doing it."""
    planned = []
    places = [(database, options.kind, database_dir(options.backup_dir, instance, database)) for database in databases]
    if options.all_databases and options.include_globals:
        places.append((GLOBALS, "globals", globals_dir(options.backup_dir, instance)))
    for database, kind, folder in places:
        sets, _problems = sets_in(folder, options.signing_key)
        fresh = fresh_set(sets, options, _now(), instance=instance, database=database)
        planned.append({
            "database": database,
            "kind": kind,
            "folder": folder,
            "existing": [item.id for item in sets],
            "fresh": fresh.id if fresh else None,
            # The new set will be one more to count; which ones it pushes out is decided when it is verified.
            "removable": [item.id for item in choose(sets, options.retention, _now())[1]],
        })
    protected = {*options.exclude_databases, *(databases if options.kind == "full" else ())}
    return {
        "instance": instance,
        "format": options.format,
        "verify": options.verify,
        "databases": planned,
        "left_out": [
            name for name in session.server["databases"] or () if is_worth_a_backup(name) and name not in protected
        ],
    }


def _persist_credentials(session: Session, params: Mapping[str, Any], options: BackupOptions) -> None:
    """Keep what led to this server for a day on which its container cannot say it any more."""
    context = session.context
    if not options.persist_credentials or context.mode != IN_CONTAINER:
        return
    path = params.get("credentials_file") or default_credentials_file(options.backup_dir)
    variables = {
        "POSTGRES_HOST": "localhost",
        "POSTGRES_PORT": str(context.port),
        "POSTGRES_USER": context.user,
        "POSTGRES_DB": context.database,
        "POSTGRES_CONTAINER": context.container_name,
    }
    if context.password:
        variables["POSTGRES_PASSWORD"] = context.password
    write_credentials(path, variables)
    session.executor.log.add("Kept the credentials in {0}".format(path))


def _now() -> datetime:
    return datetime.now(timezone.utc)
