# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Properties of a database that no archive restores without ``--create``: read into the manifest, written as SQL."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional

from ansible_collections.pgfleet.backup.plugins.module_utils._globals import setting_assignment
from ansible_collections.pgfleet.backup.plugins.module_utils._own_databases import without_marker
from ansible_collections.pgfleet.backup.plugins.module_utils._sql import ident, literal

__all__ = ["apply_statements", "create_statement", "read_locale", "read_properties"]

_PROVIDERS = {"c": "libc", "i": "icu", "b": "builtin", "d": "default"}


def read_properties(answer: Mapping[str, Any]) -> Dict[str, Any]:
    """The manifest's ``database_properties`` from what the ``DATABASE`` query answered."""
    row = answer["row"]
    return {
        "owner": answer["owner"],
        **read_locale(answer),
        "tablespace": answer["tablespace"],
        "connection_limit": row.get("datconnlimit", -1),
        "acl": answer["acl"],
        "comment": without_marker(answer["comment"]),
        "settings": answer["settings"],
        "security_labels": answer["security_labels"],
    }


def read_locale(answer: Mapping[str, Any]) -> Dict[str, Any]:
    """How text is stored and sorted, from an answer that has the ``encoding`` and the ``row`` of ``pg_database``.

    Columns were renamed over time: ``daticulocale`` (15, 16) became ``datlocale`` (17).
    """
    row = answer["row"]
    return {
        "encoding": answer["encoding"],
        "locale_provider": _PROVIDERS.get(row.get("datlocprovider", "c"), "libc"),
        "collate": row.get("datcollate"),
        "ctype": row.get("datctype"),
        "locale": row.get("datlocale") or row.get("daticulocale"),
        "icu_rules": row.get("daticurules"),
    }


def create_statement(name: str, properties: Optional[Mapping[str, Any]], *, server_major: int) -> str:
    """``CREATE DATABASE`` from ``template0`` with the recorded encoding, locale and tablespace.

    Without properties (a dump that we did not make) the server's own defaults apply.
    """
    words = ["CREATE DATABASE", ident(name), "TEMPLATE template0"]
    if properties:
        words.append("ENCODING {0}".format(literal(properties["encoding"])))
        provider = properties["locale_provider"]
        if server_major >= 15:
            words.append("LOCALE_PROVIDER {0}".format(provider))
        if properties["collate"]:
            words.append("LC_COLLATE {0}".format(literal(properties["collate"])))
        if properties["ctype"]:
            words.append("LC_CTYPE {0}".format(literal(properties["ctype"])))
        if provider == "icu" and properties["locale"]:
            words.append("ICU_LOCALE {0}".format(literal(properties["locale"])))
        if provider == "icu" and properties["icu_rules"]:
            words.append("ICU_RULES {0}".format(literal(properties["icu_rules"])))
        if provider == "builtin" and properties["locale"]:
            words.append("BUILTIN_LOCALE {0}".format(literal(properties["locale"])))
        if properties["tablespace"] not in (None, "", "pg_default"):
            words.append("TABLESPACE {0}".format(ident(properties["tablespace"])))
    return " ".join(words)


def apply_statements(name: str, properties: Mapping[str, Any]) -> List[str]:
    """What makes the database ``name`` like the recorded one: comment, limit, settings, ACL, labels, owner last."""
    database = ident(name)
    statements = []
    if properties["comment"]:
        statements.append("COMMENT ON DATABASE {0} IS {1}".format(database, literal(properties["comment"])))
    if properties["connection_limit"] not in (None, -1):
        statements.append("ALTER DATABASE {0} CONNECTION LIMIT {1}".format(
            database, int(properties["connection_limit"])))
    for setting in properties["settings"]:
        assignment = setting_assignment(setting["setting"])
        if setting["role"]:
            statements.append("ALTER ROLE {0} IN DATABASE {1} SET {2}".format(
                ident(setting["role"]), database, assignment))
        else:
            statements.append("ALTER DATABASE {0} SET {1}".format(database, assignment))
    statements += [
        "SECURITY LABEL FOR {0} ON DATABASE {1} IS {2}".format(
            ident(label["provider"]), database, literal(label["label"])
        )
        for label in properties["security_labels"]
    ]
    statements.append("ALTER DATABASE {0} OWNER TO {1}".format(database, ident(properties["owner"])))
    return statements + _grants(database, properties["owner"], properties["acl"])


def _grants(database: str, owner: str, acl: Optional[List[Mapping[str, Any]]]) -> List[str]:
    """The recorded ACL in place of the default one, by which PUBLIC and the owner have privileges.

    None means that it never differed from the default.
    """
    if acl is None:
        return []
    statements = ["REVOKE ALL ON DATABASE {0} FROM PUBLIC, {1}".format(database, ident(owner))]
    for entry in acl:
        grantee = "PUBLIC" if entry["grantee"] is None else ident(entry["grantee"])
        statements.append("GRANT {0} ON DATABASE {1} TO {2}{3}".format(
            entry["privilege"], database, grantee, " WITH GRANT OPTION" if entry["grantable"] else ""))
    return statements
