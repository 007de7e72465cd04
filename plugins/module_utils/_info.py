# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The story of looking: which backups there are, whether they are still whole, and which servers nobody protects."""

from __future__ import annotations

import os
from datetime import datetime, timezone
from typing import Any, Dict, List, Mapping, Optional

from ansible_collections.pgfleet.backup.plugins.module_utils._backup_options import read_age
from ansible_collections.pgfleet.backup.plugins.module_utils._catalog import find_sets
from ansible_collections.pgfleet.backup.plugins.module_utils._cipher import read_identity_file
from ansible_collections.pgfleet.backup.plugins.module_utils._databases import list_databases
from ansible_collections.pgfleet.backup.plugins.module_utils._engine_door import EngineDoor
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._find_container import is_postgres_server
from ansible_collections.pgfleet.backup.plugins.module_utils._restore_source import of_set
from ansible_collections.pgfleet.backup.plugins.module_utils._session import (
    Run,
    instance_name,
    open_session,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._signing import read_signing_key
from ansible_collections.pgfleet.backup.plugins.module_utils._stored_set import BackupSet, check_files, check_signature

__all__ = ["look"]

_BRIEF = (
    "id", "instance", "database", "kind", "created", "host", "port", "status", "verified", "level", "bytes", "drill",
    "reverified",
)
_ABOUT_A_SERVER = ("PG", "POSTGRES", "DATABASE_URL")


def look(params: Mapping[str, Any], env: Mapping[str, str], *, run: Run, result: Dict[str, Any]) -> None:
    """Fill ``result`` with ``backups``, ``summary``, ``problems`` and ``servers``. Changes nothing."""
    result.update(changed=False, backups=[], problems=[], summary={}, servers=[])
    max_age = read_age(params.get("stale_after"), where="stale_after")
    key = read_signing_key(params)
    sets, problems = find_sets(
        os.path.abspath(params["backup_dir"]),
        instance=str(params.get("instance") or "").strip() or None,
        database=params.get("database") or None,
        key=key,
    ) if params.get("detail") != "none" else ([], [])
    faulty = sum(bool(backup.fault) for backup in sets)
    if faulty:
        run.log.add_warning("{0} of {1} backups are not signed by this signing_key, or were altered".format(
            faulty, len(sets)))
    sets = [
        backup for backup in sets
        if (not params.get("label") or backup.label == params["label"])
        and (not params.get("verified_only") or backup.verified)
    ]
    verdicts = _reverify(params, env, run=run, sets=sets)
    entries = [dict(backup.describe(), **verdicts.get(backup.path, {})) for backup in sets]
    result["problems"] = problems
    result["summary"] = _summary(entries, sets, max_age=max_age)
    result["backups"] = [_brief(entry) for entry in entries] if params.get("detail") == "brief" else entries
    if params.get("discover"):
        meant = _server(params, env, run=run)
        result["context"] = meant["context"]
        if meant["error"]:
            run.log.add_warning(meant["error"]["msg"])
        result["servers"] = _servers(params, env, run=run, meant=meant)


def _reverify(
    params: Mapping[str, Any], env: Mapping[str, str], *, run: Run, sets: List[BackupSet]
) -> Dict[str, Dict[str, Any]]:
    """Prove each set again as ``verify`` asks; what was found, by path. The sets themselves are not changed."""
    level = params.get("verify") or "none"
    if level == "none" or not sets:
        return {}
    session = open_session(params, env, run=run, database=None, maintenance=True) if level == "archive" else None
    identity_file = read_identity_file(params)
    sealed = sum(backup.encrypted for backup in sets)
    if session is not None and sealed and not identity_file:
        run.log.add_warning(
            "{0} of {1} backups are encrypted: without identity_file only their checksums are compared".format(
                sealed, len(sets)))
    found: Dict[str, Dict[str, Any]] = {}
    for backup in sets:
        try:
            check_signature(backup)
            check_files(backup)
            reached = level
            if session is not None and backup.encrypted and not identity_file:
                reached = "checksum"
            elif session is not None and backup.kind != "globals":
                source = of_set(backup, identity_file)
                session.executor.require_client(source.client_major)
                source.validate(session.executor)
            found[backup.path] = {"reverified": {"level": reached, "result": "ok", "code": None, "msg": None}}
        except BackupError as error:
            run.log.add_warning("{0}: {1}".format(backup.path, error.msg))
            found[backup.path] = {"reverified": {
                "level": level, "result": "failed", "code": error.code, "msg": error.msg}}
            if error.code != "ENCRYPTION_UNAVAILABLE":  # which speaks against the key
                found[backup.path]["verified"] = False
    return found


def _brief(entry: Mapping[str, Any]) -> Dict[str, Any]:
    """What the fleet's report needs of a set, in the same shape: a year of manifests is too much for a job's events."""
    return {
        **{key: entry[key] for key in _BRIEF if key in entry},
        "container": entry["container"] and {"name": entry["container"].get("name")},
        "timings": {"total_seconds": entry["timings"].get("total_seconds")},
    }


def _summary(entries: List[Dict[str, Any]], sets: List[BackupSet], *, max_age: Any) -> Dict[str, Any]:
    """Counts over what was listed. A database is stale when its newest verified set is older than ``stale_after``."""
    now = datetime.now(timezone.utc)
    newest: Dict[str, Optional[datetime]] = {}
    for entry, backup in zip(entries, sets):
        if backup.kind != "full":
            continue
        name = "{0}/{1}".format(backup.instance, backup.database)
        before = newest.setdefault(name, None)
        if entry["verified"] and (before is None or backup.created > before):
            newest[name] = backup.created
    stale = [name for name, moment in newest.items() if moment is None or (max_age and now - moment > max_age)]
    created = sorted(entry["created"] for entry in entries)
    return {
        "count": len(entries),
        "bytes": sum(backup.bytes for backup in sets),
        "newest": created[-1] if created else None,
        "oldest": created[0] if created else None,
        "stale": sorted(stale),
        "unverified": [entry["path"] for entry in entries if not entry["verified"]],
        "suspicious": [entry["path"] for entry in entries if entry["status"] == "suspicious"],
    }


def _servers(
    params: Mapping[str, Any], env: Mapping[str, str], *, run: Run, meant: Dict[str, Any]
) -> List[Dict[str, Any]]:
    """Every server that is found on this host: the one that would be used, then every other container's."""
    # Where discovery came to no server there is none to list; the module's context has the trace.
    servers = [meant] if meant["context"].get("mode") else []
    seen = {(meant["context"].get("container") or {}).get("id")}
    for identity in _containers(params, env):
        if identity not in seen:
            other = dict(_without_target(params), container=identity, mode="in_container")
            # What the task's environment says of a server is about the one that is meant, not about this one.
            elsewhere = {key: value for key, value in env.items() if not key.startswith(_ABOUT_A_SERVER)}
            servers.append(_server(other, elsewhere, run=run))
    return servers


def _containers(params: Mapping[str, Any], env: Mapping[str, str]) -> List[str]:
    try:
        engine = EngineDoor(str(params.get("docker_host") or ""), env).open()
    except BackupError:
        return []  # the trace of the first server says so
    return [
        container.id
        for container in engine.containers() if container.running and is_postgres_server(container)
    ]


def _server(params: Mapping[str, Any], env: Mapping[str, str], *, run: Run) -> Dict[str, Any]:
    """One server as discovery sees it, trace and databases included, or why it cannot be used."""
    try:
        session = open_session(params, env, run=run, database=params.get("database") or None, maintenance=True)
        return {
            "instance": instance_name(session.context, ""),
            "context": session.describe(),
            "databases": list_databases(session.executor, session.maintenance_db),
            "error": None,
        }
    except BackupError as error:
        context = error.result.get("context", {})
        container = context.get("container") or {}
        return {
            "instance": container.get("name"),
            "context": context,
            "databases": [],
            "error": {"code": error.code, "msg": run.redactor(error.msg), "hint": error.hint},
        }


def _without_target(params: Mapping[str, Any]) -> Dict[str, Any]:
    """The options but for those that name one server, which another server must not be given."""
    named = ("container", "container_image", "container_labels", "login_host", "login_port", "login_user",
             "login_password", "login_unix_socket", "mode", "database", "credentials_file")
    return {key: value for key, value in params.items() if key not in named}
