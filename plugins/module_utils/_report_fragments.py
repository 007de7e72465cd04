# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading the fragments that a fleet's runs leave behind. ``docs/schemas/report-fragment-1.json`` has every key.

They come from many hosts: what cannot be understood is told as a problem, and hides nothing else.
"""

from __future__ import annotations

import re
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Tuple

from ansible_collections.pgfleet.backup.plugins.module_utils._backup_options import read_age
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._report_model import (
    OUTCOMES,
    Copy,
    Drill,
    Found,
    Host,
    Key,
    Point,
    Target,
    epoch,
)

__all__ = ["SCHEMA_VERSION", "read_fragment"]

SCHEMA_VERSION = 1

_ID = re.compile(r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z-[0-9a-f]{4}")
_MOST = 1 << 63  # neither infinite nor NaN
_MALFORMED = (ValueError, TypeError, KeyError, AttributeError)
_GOOD = ("ok", "fresh")

Note = Callable[[str], None]


def read_fragment(document: Any, note: Note) -> List[Tuple[int, Host]]:
    """The hosts of one fragment, each with the moment it speaks of. ``note`` is given what cannot be understood.

    Raises ValueError when nothing of it can.
    """
    if not isinstance(document, dict) or document.get("schema_version") != SCHEMA_VERSION:
        raise ValueError("it is not a fragment of schema_version {0}".format(SCHEMA_VERSION))
    at = epoch(document.get("generated"))
    hosts = []
    for entry in _list(document, "hosts") or ():
        try:
            hosts.append((at, _host(entry, note)))
        except _MALFORMED as error:
            note("{0}: {1}".format(entry.get("host") if isinstance(entry, dict) else "a host", error))
    return hosts


def _host(entry: Any, note: Note) -> Host:
    name = _text(_dict(entry, "host"), "host")
    if not name:
        raise ValueError("a host without its name")

    def about(msg: str) -> None:
        note("{0}: {1}".format(name, msg))

    reachable = entry.get("reachable") is not False
    error = entry.get("error")
    addresses: Dict[Any, Dict[str, None]] = {}
    backups = _each(entry, "backups", about)
    history = None if backups is None else _history(backups, addresses, about)
    copies = _each(entry, "copies", about)
    servers = _each(entry, "servers", about)
    return Host(
        name=name,
        reachable=reachable,
        error=_target("failed" if reachable else "unreachable", _dict(error, "error"), None) if error else None,
        rpo=_rpo(entry, about),
        targets=_targets(_each(entry, "targets", about) or [], about),
        history=history,
        copies=None if copies is None else _grouped(_full(copies), _copy, about),
        found=None if servers is None else _found(servers, addresses, about),
    )


# -- what a run came to ---------------------------------------------------------------------------------------------


def _targets(entries: List[Dict[str, Any]], note: Note) -> Dict[Key, Target]:
    targets: Dict[Key, Target] = {}
    for entry in entries:
        rpo = _rpo(entry, note)
        try:
            targets.update(_outcomes(entry, rpo))
        except ValueError as error:
            note(str(error))
    return targets


def _outcomes(entry: Dict[str, Any], rpo: Optional[int]) -> Iterator[Tuple[Key, Target]]:
    """The outcome for each database of one target, which may be the very result of ``pg_backup``."""
    made = [item for item in _list(entry, "backups") or [] if isinstance(item, dict)]
    failed = [item for item in _list(entry, "failed_databases") or [] if isinstance(item, dict)]
    instance = _text(entry, "instance") or _text(entry.get("plan") or {}, "instance")
    instance = instance or (_text(made[0], "instance") if made else "")
    for item in made:
        if item.get("kind", "full") == "full" or item.get("status") == "suspicious":
            key = (_text(item, "instance") or instance, _text(item, "database"))
            yield key, _target(str(item.get("status", "ok")), {"msg": _doubt(item)}, rpo)
    for item in failed:
        hint = item.get("hint") or (entry.get("hint") if entry.get("code") == item.get("code") else None)
        yield (instance, _text(item, "database")), _target("failed", dict(item, hint=hint), rpo)
    if not made and not failed:
        outcome = _text(entry, "outcome") or ("failed" if entry.get("code") or entry.get("failed") else "ok")
        yield (instance, _text(entry, "database")), _target(outcome, entry, rpo)


def _doubt(item: Mapping[str, Any]) -> str:
    """What made a set suspicious, as its warnings say it."""
    return "; ".join(line for line in _list(item, "warnings") or () if isinstance(line, str))


def _target(outcome: str, about: Mapping[str, Any], rpo: Optional[int]) -> Target:
    if outcome not in OUTCOMES:
        raise ValueError("{0} is not an outcome".format(repr(outcome)[:60]))
    code, msg, hint = (_text(about, key) or None for key in ("code", "msg", "hint"))
    if outcome in _GOOD:
        code = msg = hint = None
    return Target(outcome, code, msg, hint, rpo)


# -- what there is --------------------------------------------------------------------------------------------------


def _history(
    entries: List[Dict[str, Any]], addresses: Dict[Any, Dict[str, None]], note: Note
) -> Dict[Key, List[Point]]:
    """The full sets of each database. ``addresses`` learns under which instances a server's sets are filed."""
    full = _full(entries)
    one_of_each = {str(item.get("instance")): item for item in full}
    for instance, item in one_of_each.items():
        addresses.setdefault(_address(item), {})[instance] = None
    return _grouped(full, _point, note)


def _full(entries: List[Dict[str, Any]]) -> List[Dict[str, Any]]:
    """Without the sets that lack something, or were taken of what was to be replaced: they protect nothing."""
    return [item for item in entries if item.get("kind", "full") in ("full", "globals")]


def _point(item: Mapping[str, Any]) -> Point:
    size, drill = item.get("bytes"), item.get("drill")
    if size is None and item.get("files"):
        size = sum(file["size"] for file in item["files"])
    return Point(
        _text(item, "id"),
        epoch(item.get("created")),
        _number(size),
        _number((item.get("timings") or {}).get("total_seconds")),
        item.get("verified") is True,
        _text(item, "level") or _text(item.get("verification") or {}, "level"),
        _drill(drill) if drill else None,
        item.get("status") == "suspicious",
    )


def _drill(verdict: Mapping[str, Any]) -> Drill:
    return Drill(
        epoch(verdict.get("at")), verdict.get("result") == "ok", _number(verdict.get("seconds")),
        _text(verdict, "message"),
    )


def _copy(item: Mapping[str, Any]) -> Copy:
    name = _text(item, "id")
    stamp = _ID.fullmatch(name)
    if not stamp:
        raise ValueError("{0} is not the id of a backup".format(repr(name)[:60]))
    at = item.get("created") or "{0}-{1}-{2}T{3}:{4}:{5}Z".format(*stamp.groups())
    where = _text(item, "where") or "controller"
    return Copy(name, epoch(at), where, item.get("verified") is True, _number(item.get("bytes")))


def _grouped(entries: List[Dict[str, Any]], read: Callable[[Mapping[str, Any]], Any], note: Note) -> Dict[Key, Any]:
    groups: Dict[Key, List[Any]] = {}
    for item in entries:
        try:
            groups.setdefault((_text(item, "instance"), _text(item, "database")), []).append(read(item))
        except _MALFORMED as error:
            note("backup {0}: {1}".format(repr(item.get("id"))[:60], error))
    return groups


def _found(
    servers: List[Dict[str, Any]], addresses: Mapping[Any, Mapping[str, None]], note: Note
) -> Dict[Key, Found]:
    """Every database of ``servers``, as ``pg_backup_info`` with ``discover`` returns them."""
    found: Dict[Key, Found] = {}
    for server in servers:
        instance, error = _text(server, "instance"), server.get("error") or {}
        aliases = tuple({instance: None, **addresses.get(_address(server.get("context") or {}), {})})
        if error:
            found[instance, ""] = Found(aliases, None, *(_text(error, key) or None for key in ("code", "msg", "hint")))
        for database in _each(server, "databases", note) or []:
            key = (instance, _text(database, "name"))
            found[key] = Found(aliases, _number(database.get("bytes")), None, None, None)
    return found


def _address(about: Mapping[str, Any]) -> Any:
    """Where a server is: told alike by manifests and by the contexts of ``servers``."""
    container = about.get("container")
    if isinstance(container, dict) and container.get("name"):
        return str(container["name"])
    return (str(about.get("host") or ""), str(about.get("port") or ""))


# -- values ---------------------------------------------------------------------------------------------------------


def _rpo(entry: Mapping[str, Any], note: Note) -> Optional[int]:
    try:
        age = read_age(entry.get("rpo"), where="rpo")
    except BackupError as error:
        note(error.what)
        return None
    return None if age is None else int(age.total_seconds())


def _each(about: Mapping[str, Any], key: str, note: Note) -> Optional[List[Dict[str, Any]]]:
    """The objects of a list; None where the list is missing or null, which says that nobody has looked."""
    entries = _list(about, key)
    if entries is None:
        return None
    fine = [item for item in entries if isinstance(item, dict)]
    if len(fine) < len(entries):
        note("{0} of {1} {2} are not objects".format(len(entries) - len(fine), len(entries), key))
    return fine


def _list(about: Mapping[str, Any], key: str) -> Optional[List[Any]]:
    value = about.get(key)
    if value is not None and not isinstance(value, list):
        raise ValueError("{0} is not a list".format(key))
    return value


def _dict(value: Any, what: str) -> Dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("{0} is not an object: {1}".format(what, repr(value)[:60]))
    return value


def _text(about: Mapping[str, Any], key: str) -> str:
    value = about.get(key)
    if isinstance(value, str):
        return value
    if value is not None:
        raise ValueError("{0} is not a text: {1}".format(key, repr(value)[:60]))
    return ""


def _number(value: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < _MOST:
        raise ValueError("{0} is not a size or a duration".format(repr(value)[:60]))
    return value
