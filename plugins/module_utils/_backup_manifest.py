# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The manifest of a set: what is known of a database, its server, its tools and its dump, put together."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, NamedTuple

from ansible_collections.pgfleet.backup.plugins.module_utils._backup_options import BackupOptions
from ansible_collections.pgfleet.backup.plugins.module_utils._machine import COLLECTION_VERSION, hostname, machine_id
from ansible_collections.pgfleet.backup.plugins.module_utils._manifest import SCHEMA_VERSION, format_time
from ansible_collections.pgfleet.backup.plugins.module_utils._properties import read_properties
from ansible_collections.pgfleet.backup.plugins.module_utils._session import Session

if TYPE_CHECKING:
    from ansible_collections.pgfleet.backup.plugins.module_utils._dump import Dumped

__all__ = ["SetIdentity", "database_manifest", "globals_manifest"]


class SetIdentity(NamedTuple):
    """What names one set."""

    set_id: str
    run_id: str
    instance: str
    database: str
    sequence: int
    created: datetime


def database_manifest(
    session: Session,
    identity: SetIdentity,
    options: BackupOptions,
    dumped: Dumped,
    *,
    facts: Mapping[str, Any],
    roles: List[str],
    finished: datetime,
    warnings: List[str],
) -> Dict[str, Any]:
    """The manifest of one database's set, but for its files. ``facts`` is the answer of the ``DATABASE`` query."""
    properties = read_properties(facts)
    level = "archive" if dumped.fingerprint else ("none" if options.verify == "none" else "checksum")
    return dict(
        _common(session, identity, options, finished=finished, warnings=warnings),
        kind=options.kind,
        filters=options.filters.describe(),
        transport=dumped.transport,
        format=dumped.plan.format,
        compression=str(dumped.plan.compression),
        encoding=properties["encoding"],
        locale_provider=properties["locale_provider"],
        collation_version=facts["row"].get("datcollversion"),
        database_bytes=facts["bytes"],
        extensions=facts["extensions"],
        tablespaces=sorted(
            set(facts["tablespaces"]) | ({facts["tablespace"]} - {"pg_default", None})
        ),
        roles=roles,
        fingerprint=dumped.fingerprint.describe() if dumped.fingerprint else None,
        database_properties=properties,
        timings={
            "dump_seconds": round(dumped.dump_seconds, 3),
            "verify_seconds": round(dumped.verify_seconds, 3),
            "total_seconds": round((finished - identity.created).total_seconds(), 3),
        },
        verification={
            "level": level,
            "result": "none" if level == "none" else "ok",
            "seconds": round(dumped.verify_seconds, 3),
        },
    )


def globals_manifest(
    session: Session, identity: SetIdentity, options: BackupOptions, *, finished: datetime, seconds: float,
    roles: List[str], warnings: List[str],
) -> Dict[str, Any]:
    """The manifest of a set of the whole cluster's globals."""
    return dict(
        _common(session, identity, options, finished=finished, warnings=warnings),
        kind="globals",
        filters=None,
        transport=type(session.executor).transport,  # too little to go another way
        format="sql",
        compression="none",
        encoding=None,
        locale_provider=None,
        collation_version=None,
        database_bytes=None,
        extensions={},
        tablespaces=[],
        roles=roles,
        fingerprint=None,
        database_properties=None,
        timings={"dump_seconds": round(seconds, 3), "verify_seconds": 0.0, "total_seconds": round(seconds, 3)},
        verification={"level": "checksum", "result": "ok", "seconds": 0.0},
    )


def _common(
    session: Session, identity: SetIdentity, options: BackupOptions, *, finished: datetime, warnings: List[str]
) -> Dict[str, Any]:
    context, client = session.context, session.executor.client
    return {
        "schema_version": SCHEMA_VERSION,
        "collection_version": COLLECTION_VERSION,
        "id": identity.set_id,
        "run_id": identity.run_id,
        "instance": identity.instance,
        "database": identity.database,
        "sequence": identity.sequence,
        "label": options.label,
        "created": format_time(identity.created),
        "finished": format_time(finished),
        "machine_id": machine_id(),
        "hostname": hostname(),
        "mode": context.mode,
        "executor": session.executor.name,
        "credential_source": context.credential_source,
        "host": context.host or None,
        "port": context.port,
        "container": context.container.describe() if context.container else None,
        "server_version": context.server_version,
        "server_version_num": context.server_version_num,
        "system_identifier": session.server["system_identifier"],
        "client_path": client.path("pg_dump"),
        "client_version": client.version,
        "status": "ok",
        "encryption": options.encryption.describe() if options.encryption else None,
        "warnings": warnings,
        "signature": None,  # the last thing that is added, if there is a key
    }
