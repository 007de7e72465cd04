# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role works on: the targets of one host, complete, and the same without anything secret to loop over."""

from __future__ import annotations

import os
from typing import Any, Dict, Iterable, List, Mapping, Optional

from ansible_collections.pgfleet.backup.plugins.module_utils._context import IN_CONTAINER, SOURCE_FILE
from ansible_collections.pgfleet.backup.plugins.module_utils._layout import default_credentials_file, encode_part

__all__ = ["fleet_items", "fleet_targets", "item_of"]

_DEFAULT_DIR = "/var/lib/pgfleet/backups"
_ALIASES = {"db": "database", "name": "database", "source_database": "database"}


def fleet_targets(
    targets: Optional[Iterable[Mapping[str, Any]]],
    options: Optional[Mapping[str, Any]] = None,
    *,
    found: Optional[Mapping[str, Any]] = None,
) -> List[Dict[str, Any]]:
    """Each target with the ``options`` that all share, its own winning; what is blank is unset.

    ``found`` is the result of ``pg_backup_info`` with ``discover``: its servers follow as targets with all databases,
    but for containers that a target names already.
    """
    shared = _first_names(options or {})
    complete = [_complete(shared, _first_names(target)) for target in targets or ()]
    named = {target.get("container") for target in complete}
    for server in (found or {}).get("servers") or ():
        target = _of_server(server, shared.get("backup_dir") or _DEFAULT_DIR)
        if target.get("container", "") not in named:
            complete.append(_complete(shared, {**target, "all_databases": True}))
    for target in complete[1:]:  # it is the host that begins at some moment, not each of its targets
        target.pop("start_jitter", None)
    return complete


def fleet_items(
    targets: Iterable[Mapping[str, Any]], looked: Optional[Mapping[str, Any]] = None
) -> List[Dict[str, Any]]:
    """One dictionary a target: ``index``, ``target`` (in words), ``database``, ``all_databases``, ``rpo``; no secret.

    ``looked`` are results of ``pg_backup_info`` for items of targets with all databases: these then become an item
    for each database of which there is a full backup.
    """
    seen = {item_of(result).get("index"): result for result in (looked or {}).get("results") or ()}
    items = []
    for index, target in enumerate(targets):
        databases = _backed_up(seen.get(index), target) or [target.get("database") or ""]
        items += [
            {
                "index": index,
                "target": _in_words(target),
                "database": database,
                "all_databases": _is_true(target.get("all_databases")),
                "rpo": str(target.get("rpo") or ""),
            }
            for database in databases
        ]
    return items


def item_of(result: Mapping[str, Any]) -> Mapping[str, Any]:
    """The item of a loop that a result belongs to; empty for one without a loop."""
    return result.get(result.get("ansible_loop_var") or "item") or {}


def _is_true(value: Any) -> bool:
    """As a module reads a bool; from a survey or the command line it is text."""
    return str(value).strip().lower() in ("1", "true", "t", "yes", "y", "on", "1.0")


def _first_names(options: Mapping[str, Any]) -> Dict[str, Any]:
    return {_ALIASES.get(name, name): value for name, value in options.items()}


def _complete(shared: Mapping[str, Any], target: Mapping[str, Any]) -> Dict[str, Any]:
    """The target's options over the shared ones, less what is blank."""
    options = {**shared, **target}
    # One that names its database does not take all of them because others do, and the other way round.
    if target.get("database"):
        options["all_databases"] = target.get("all_databases")
    elif _is_true(target.get("all_databases")):
        options["database"] = None
    return {name: value for name, value in options.items() if value is not None and value != ""}


def _of_server(server: Mapping[str, Any], backup_dir: str) -> Dict[str, Any]:
    """The options that lead to a server again. One that is no container's is found again by leaving them open."""
    context = server.get("context") or {}
    container = (context.get("container") or {}).get("name")
    if context.get("mode") != IN_CONTAINER or not container:
        return {"mode": context["mode"]} if context.get("mode") else {}
    target = {"mode": IN_CONTAINER, "container": container}
    if context.get("credential_source") != SOURCE_FILE:  # that file is the one it has already
        file_name = "{0}.env".format(encode_part(server.get("instance") or container))
        target["credentials_file"] = os.path.join(os.path.dirname(default_credentials_file(backup_dir)), file_name)
    return target


def _in_words(target: Mapping[str, Any]) -> str:
    image = target.get("container_image")
    place = (
        target.get("instance") or target.get("container") or target.get("login_host")
        or target.get("login_unix_socket") or (image and "image {0}".format(image)) or "the discovered server"
    )
    port = target.get("login_port")
    return str(place) if not port else "{0}:{1}".format(place, port)


def _backed_up(looked: Optional[Mapping[str, Any]], target: Mapping[str, Any]) -> List[str]:
    """The databases of which there is a full backup, of the server that the target means."""
    if not _is_true(target.get("all_databases")) or not looked or not (looked.get("context") or {}).get("mode"):
        return []
    instance = target.get("instance") or looked["servers"][0]["instance"]
    excluded = target.get("exclude_databases") or ()
    return sorted({
        backup["database"] for backup in looked.get("backups") or ()
        if backup["kind"] == "full" and backup["instance"] == instance and backup["database"] not in excluded
    })
