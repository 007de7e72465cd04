# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The story of a restore, told top to bottom."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from typing import Any, Dict, List, Mapping, Optional, Tuple

from ansible_collections.pgfleet.backup.plugins.module_utils import _queries
from ansible_collections.pgfleet.backup.plugins.module_utils._archive import Fingerprint
from ansible_collections.pgfleet.backup.plugins.module_utils._catalog import check_owner
from ansible_collections.pgfleet.backup.plugins.module_utils._cipher import Encryption
from ansible_collections.pgfleet.backup.plugins.module_utils._clients import check_patched
from ansible_collections.pgfleet.backup.plugins.module_utils._drill import drill
from ansible_collections.pgfleet.backup.plugins.module_utils._drill_container import (
    check_away,
    create_roles,
    drill_container,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._encodings import shared_text
from ansible_collections.pgfleet.backup.plugins.module_utils._engine_door import EngineDoor
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._fill import (
    Filled,
    fill,
    has_event_triggers,
    verify_content,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._findings import BLOCKER
from ansible_collections.pgfleet.backup.plugins.module_utils._in_place import fill_in_place
from ansible_collections.pgfleet.backup.plugins.module_utils._layout import database_dir
from ansible_collections.pgfleet.backup.plugins.module_utils._lock import database_lock, hold_set
from ansible_collections.pgfleet.backup.plugins.module_utils._machine import machine_id
from ansible_collections.pgfleet.backup.plugins.module_utils._own_databases import KEPT, SIDE
from ansible_collections.pgfleet.backup.plugins.module_utils._own_folder import sweep_own_folders
from ansible_collections.pgfleet.backup.plugins.module_utils._previous import go_back
from ansible_collections.pgfleet.backup.plugins.module_utils._properties import apply_statements, read_properties
from ansible_collections.pgfleet.backup.plugins.module_utils._restore_checks import check_restore
from ansible_collections.pgfleet.backup.plugins.module_utils._restore_facts import Case, gather
from ansible_collections.pgfleet.backup.plugins.module_utils._restore_options import (
    PREVIOUS,
    RestoreOptions,
    read_restore_options,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._restore_plan import restore_plan
from ansible_collections.pgfleet.backup.plugins.module_utils._restore_roles import create_missing_roles
from ansible_collections.pgfleet.backup.plugins.module_utils._restore_scope import Scope, find_scope
from ansible_collections.pgfleet.backup.plugins.module_utils._restore_source import Source, find_source
from ansible_collections.pgfleet.backup.plugins.module_utils._scratch import (
    Neighbours,
    free_moment,
    new_database,
    silent_setting,
    sweep_databases,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._session import (
    Run,
    Session,
    instance_name,
    open_session,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._sql import ident
from ansible_collections.pgfleet.backup.plugins.module_utils._swap import (
    kept_databases,
    side_name,
    swap_databases,
    tidy_previous,
)

__all__ = ["restore"]


def restore(
    params: Mapping[str, Any], env: Mapping[str, str], *, run: Run, check: bool, result: Dict[str, Any]
) -> None:
    """Restore a backup, filling ``result`` with the module's return keys as they become known.

    With ``check`` it discovers, connects and plans, and changes nothing. Raises ``BackupError``, and the target is then
    as it was.
    """
    options = read_restore_options(params)
    result.update(restore={}, plan={})
    session = open_session(params, env, run=run, database=options.database, maintenance=True)
    source_name = options.database or session.context.database
    target = options.target_database or source_name
    session = _outside(session, target)
    result["context"] = session.describe()
    instance = instance_name(session.context, options.instance)
    if options.backup == PREVIOUS:
        go_back(session, options, instance=instance, source_name=source_name, target=target, check=check, result=result)
        return
    source = find_source(
        options.backup, backup_dir=options.backup_dir, instance=instance, database=source_name,
        key=options.signing_key, identity_file=options.identity_file,
    )
    for line in source.remarks():
        run.log.add(line)
    with ExitStack() as stack:
        if source.backup is not None:
            stack.enter_context(hold_set(source.backup.path))
        case = Case(options, source, target, gather(session, options, source, target))
        elsewhere = options.strategy == "drill" and options.drill_location == "container"
        scope, unfit = find_scope(session, options, source, target, case.facts.target)
        findings = check_away(session, source) if elsewhere else check_restore(session, case, unfit)
        result["plan"] = restore_plan(session, case, findings, database=source_name)
        result["changed"] = check
        if check:
            return
        for finding in findings:
            if finding.level == BLOCKER:
                raise finding.error()
        for path in sweep_own_folders():
            run.log.add("Removed what a killed run left: {0}".format(path))
        result["context"] = session.describe()  # the archive may have asked for a newer client
        if elsewhere:
            door = EngineDoor(str(params.get("docker_host") or ""), env)
            session = stack.enter_context(drill_container(session, source, door=door, run=run))
            check_patched(
                session.executor.client, options.tools(source.dump.format), required=options.require_patched_client,
                log=run.log,
            )
            options = options._replace(**create_roles(session, source))
        stack.enter_context(session.executor.time_limit(options.timeout))
        fingerprint = source.validate(session.executor)
        run.log.add("Validated {0}: {1} rows in {2} tables".format(
            source.dump.path, sum(fingerprint.tables.values()), len(fingerprint.tables)))
        story = _Restore(session, options, source, scope, scope.fingerprint(fingerprint), instance, source_name, target,
                         case.facts.target, result)
        result["restore"] = story.run(params)
        if not elsewhere:
            result["context"] = session.describe()  # by now it is known how the bytes travelled
        result["changed"] = True


class _Restore:
    """One validated restore on its way; each strategy is one method."""

    def __init__(
        self, session: Session, options: RestoreOptions, source: Source, scope: Scope, fingerprint: Fingerprint,
        instance: str, source_name: str, target: str, state: Optional[Mapping[str, Any]], result: Dict[str, Any],
    ) -> None:
        self.session = session
        self.options = options
        self.source = source
        self.scope = scope
        self.fingerprint = fingerprint
        self.instance = instance
        self.source_name = source_name
        self.target = target
        self.state = state
        self.result = result
        self.previous: Optional[str] = None
        self.properties = source.properties or self._target_properties()

    def run(self, params: Mapping[str, Any]) -> Dict[str, Any]:
        """Restore by the chosen strategy; the returned ``restore``."""
        started = time.monotonic()
        log = self.session.executor.log
        if self.options.strategy == "in_place" and self.options.safety_backup:
            safety = self._safety_backup(params)
            log.add("Safety backup of {0}: {1}".format(self.target, safety["path"]))
            self.result["safety_backup"] = safety["path"]
        verification: Optional[Dict[str, Any]]
        with ExitStack() as stack:
            folder = database_dir(self.options.backup_dir, self.instance, self.target)
            if os.path.isdir(folder):  # a database that was never backed up here has no runs to collide with
                stack.enter_context(database_lock(folder, timeout=self.options.lock_timeout))
            if self.options.create_missing_roles and create_missing_roles(self.session, self.source):
                self.result["changed"] = True
            if self.options.strategy == "drill":
                filled, verification = drill(
                    self.session, self.source, self.fingerprint, database=self.source_name, jobs=self.options.jobs,
                    switches=self.options.switches(), analyze=self.options.analyze,
                    location=self.options.drill_location,
                )
            else:
                there = sweep_databases(self.session, self.target)
                in_place = self.options.strategy == "in_place"
                with self.source.restoring(self.session.executor, self.target):
                    filled, verification = self._in_place() if in_place else self._beside(there)
        return {
            "database": self.source_name,
            "target_database": self.target,
            "strategy": self.options.strategy,
            "backup": self.source.describe(),
            "previous_database": self.previous,
            "objects": filled.objects,
            "warnings": filled.warnings,
            "seconds": round(time.monotonic() - started, 3),
            "verification": verification,
        }

    # The strategies.

    def _beside(self, there: Neighbours) -> Tuple[Filled, Optional[Dict[str, Any]]]:
        """A side database that takes the target's name when it is complete: nobody ever sees half of it."""
        moment = free_moment(there, self.target, (SIDE, KEPT), after=kept_databases(there, self.target))
        side = side_name(self.target, moment)
        silent = has_event_triggers(self.session, self.source.dump)
        with new_database(self.session, side, self.properties, target=self.target, silent=silent):
            filled = self._fill(side)
            verification = self._verify(side)
            self._apply_properties(side, silent=silent)
            swap_databases(
                self.session, target=self.target, side=side, state=self.state, moment=moment,
                lock_wait_timeout=self.options.lock_wait_timeout, comment=self._comment(), done=self._swapped,
            )
        self.previous = tidy_previous(self.session, self.target, self.options.keep_previous, self.previous)
        return filled, verification

    def _swapped(self, kept: Optional[str]) -> None:
        self.previous = kept
        self.result["changed"] = True

    def _in_place(self) -> Tuple[Filled, Optional[Dict[str, Any]]]:
        """Into the live database in one transaction: all of it, or nothing."""
        filled = fill_in_place(
            self.session, self.target, self.source.dump, switches=self.options.switches(), scope=self.scope,
            lock_wait_timeout=self.options.lock_wait_timeout, jobs=self.options.jobs, analyze=self.options.analyze,
        )
        self.result["changed"] = True
        return filled, self._compare_live()

    def _compare_live(self) -> Optional[Dict[str, Any]]:
        """The live database may be written to again since the commit, so a difference is told, and is no failure."""
        try:
            return self._verify(self.target)
        except BackupError as error:
            if error.code != "VERIFY_FAILED":
                raise
            self.session.executor.log.add_warning("{0} is in use: {1}".format(self.target, error.what))
            return {"result": "differs", "message": error.what}

    # Their steps.

    def _fill(self, name: str) -> Filled:
        toc = self.source.dump.toc
        if toc and "SUBSCRIPTION" in toc.counts():
            self.session.executor.log.add(
                "Subscriptions are restored disabled, and nothing was said to their publishers: enable them when the "
                "database that they come from is no longer subscribed")
        return fill(
            self.session, name, self.source.dump, jobs=self.options.jobs, switches=self.options.switches(),
            analyze=self.options.analyze, scope=self.scope,
        )

    def _verify(self, name: str) -> Dict[str, Any]:
        return verify_content(self.session, name, self.fingerprint)

    def _target_properties(self) -> Optional[Mapping[str, Any]]:
        """A foreign dump brings no properties: the database that it replaces keeps its own."""
        if self.state is None or self.options.strategy != "swap":
            return None
        answer = self.session.executor.query_json(_queries.DATABASE, database=self.target)
        return read_properties(shared_text(answer, answer["encoding"]))

    def _comment(self) -> Optional[str]:
        """The finished database's own comment."""
        return self.properties["comment"] if self.properties and not self.options.partial else None

    def _apply_properties(self, name: str, *, silent: bool) -> None:
        """Owner, settings and ACL as they were in the backup, in place of what was ``silent`` while it was filled."""
        statements = []
        if silent:
            statements.append("ALTER DATABASE {0} RESET {1}".format(ident(name), silent_setting(self.session)[0]))
        if self.properties and not self.options.partial:
            statements += apply_statements(name, self._wanted(self.properties))
        if statements:
            self.session.executor.query(";\n".join(statements) + ";", database=self.session.maintenance_db)

    def _wanted(self, properties: Mapping[str, Any]) -> Dict[str, Any]:
        """The recorded properties, as far as they are wanted."""
        wanted = dict(properties, comment=None)  # until it is finished, its comment says so
        if self.options.no_owner:
            wanted["owner"] = owner = self.session.server["user"]
            wanted["acl"] = wanted["acl"] and [
                dict(entry, grantee=owner) if entry["grantee"] == properties["owner"] else entry
                for entry in wanted["acl"]
            ]
            wanted["settings"] = [setting for setting in wanted["settings"] if not setting["role"]]
        if self.options.no_privileges:
            wanted["acl"] = None
        return wanted

    def _safety_backup(self, params: Mapping[str, Any]) -> Dict[str, Any]:
        """A backup of what is about to be replaced, by the same code: a kind of its own, which is never ``latest``.

        It is filed under the server that it is of, which need not be the one that the restored backup came from.
        """
        from ansible_collections.pgfleet.backup.plugins.module_utils._backup import back_up_database  # noqa: PLC0415
        from ansible_collections.pgfleet.backup.plugins.module_utils._backup_options import read_backup_options  # noqa: PLC0415

        ours = self.session.server["system_identifier"]
        elsewhere = self.source.manifest.get("system_identifier", ours) != ours
        instance = instance_name(self.session.context, "") if elsewhere else self.instance
        check_owner(self.options.backup_dir, instance, machine_id())
        identity_file = self.source.dump.identity_file
        safety = read_backup_options({
            "safety": True,
            "backup_dir": self.options.backup_dir,
            "format": "directory",
            "verify": "archive",
            "label": "safety backup before a restore in place",
            "jobs": self.options.jobs,
            "lock_timeout": self.options.lock_timeout,
            "lock_wait_timeout": self.options.lock_wait_timeout,
            "signing_key": params.get("signing_key"),
            # Where the backup was not to lie on a disk in the clear, neither is what it replaces.
            "encryption": Encryption((), identity_file) if identity_file else None,
            "identity_file": identity_file,
        })
        removed: List[str] = []
        return back_up_database(self.session, safety, instance, self.target, pruned=removed)


def _outside(session: Session, target: str) -> Session:
    """A database cannot be renamed or dropped from a session of its own."""
    if session.maintenance_db != target:
        return session
    return session._replace(maintenance_db="template1" if target != "template1" else "postgres")
