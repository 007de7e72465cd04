# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A context as libpq wants it: variables for the tools' environment, and the few arguments that may be seen."""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence

from ansible_collections.pgfleet.backup.plugins.module_utils._context import IN_CONTAINER, DbContext
from ansible_collections.pgfleet.backup.plugins.module_utils._sql import conninfo

__all__ = ["connection_args", "connection_env", "plain_env"]

_CONNECT_SECONDS = "15"
# Notices a dead client while a query runs, so that a killed run leaves no session behind (PostgreSQL 14 on).
_CHECK_INTERVAL = "client_connection_check_interval=5s"
_CHECK_INTERVAL_SINCE = 140000
# A role or a database may have settings of its own, and these would change what is written or read, or forbid it.
_PINNED = (
    "standard_conforming_strings=on", "quote_all_identifiers=off", "default_transaction_read_only=off",
    "statement_timeout=0",
)
# The messages of a server that speaks another language could not be classified. Only superusers may choose.
_ENGLISH = "lc_messages=C"
_OPTIONAL = ("PGSSLMODE", "PGSSLROOTCERT", "PGSSLCERT", "PGSSLKEY")


def connection_args(context: DbContext, database: Optional[str]) -> List[str]:
    """``-d``, and never a prompt for a password; nothing for a tool that connects to nothing."""
    if database is None:
        return []
    return ["--no-password", "-d", conninfo(database, context.connect_params)]


def connection_env(context: DbContext, application_name: str, settings: Sequence[str] = ()) -> Dict[str, str]:
    """Where to connect, and as whom. Every route is named, so that nothing inherited can divert it.

    ``settings`` (``name=value``) are for the session, beside those that every session of ours has.
    """
    env = {
        **plain_env(application_name),
        "PGHOST": context.socket or context.host,
        "PGPORT": str(context.port),
        "PGUSER": context.user,
        "PGCONNECT_TIMEOUT": _CONNECT_SECONDS,
        "PGOPTIONS": _options(context, settings),
        "PGPASSWORD": context.password,
        "PGTARGETSESSIONATTRS": "any",
        "PGSSLMODE": context.tls.sslmode,
        # Files of the managed host; inside a container there are none of these names.
        "PGSSLROOTCERT": "" if context.mode == IN_CONTAINER else context.tls.ca_cert,
        "PGSSLCERT": "" if context.mode == IN_CONTAINER else context.tls.cert,
        "PGSSLKEY": "" if context.mode == IN_CONTAINER else context.tls.key,
    }
    return {name: value for name, value in env.items() if value or name not in _OPTIONAL}


def _options(context: DbContext, more: Sequence[str]) -> str:
    """Settings of the session, which win over those of its role and database."""
    settings = _PINNED + ((_CHECK_INTERVAL,) if context.server_version_num >= _CHECK_INTERVAL_SINCE else ())
    settings += (_ENGLISH,) if context.superuser else ()
    return " ".join("-c {0}".format(setting) for setting in (*settings, *more))


def plain_env(application_name: str) -> Dict[str, str]:
    """For tools that connect to nothing, and so have no business with the password. The name marks them as ours."""
    # An inherited address would lead even there where a tool was told to go nowhere.
    return {"LC_ALL": "C", "PGAPPNAME": application_name, "PGHOSTADDR": ""}
