# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many fragments become one picture: for each host the newest word counts."""

from __future__ import annotations

import glob
import json
import os
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Tuple

from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._report_fragments import read_fragment
from ansible_collections.pgfleet.backup.plugins.module_utils._report_model import Host, Target

__all__ = ["Problem", "merge", "read_folder"]

_LIMIT = 256 * 1024 * 1024
_MAX_PROBLEMS = 20  # for each fragment: a broken one is broken in every entry


class Problem(NamedTuple):
    """What could not be understood, and in which fragment."""

    source: str
    msg: str


def read_folder(path: str, problems: List[Problem]) -> Iterator[Tuple[str, Any]]:
    """The documents of all ``*.json`` files of the folder, each with its name; ``problems`` grows by the unreadable.

    One after the other, because a year of a fleet is much to hold at once.

    Raises ``BACKUP_DIR_UNUSABLE`` when the folder itself cannot be read.
    """
    if not os.path.isdir(path) or not os.access(path, os.R_OK | os.X_OK):
        raise BackupError(
            "BACKUP_DIR_UNUSABLE", "fragments_dir={0} is not a folder that can be read".format(path),
            hint="Give the folder in which the runs leave their fragments.")
    for file_name in sorted(glob.glob(os.path.join(glob.escape(path), "*.json"))):
        source = os.path.basename(file_name)
        try:
            if os.path.getsize(file_name) > _LIMIT:
                raise ValueError("it is larger than {0} MiB".format(_LIMIT // 1024 ** 2))
            with open(file_name, encoding="utf-8") as file:
                document = json.load(file)
        except (OSError, ValueError, RecursionError) as error:
            problems.append(Problem(source, "it cannot be read: {0}".format(error)))
        else:
            yield source, document


def merge(
    documents: Iterable[Tuple[str, Any]], problems: List[Problem], *, expected: Iterable[str] = ()
) -> List[Host]:
    """All hosts by name. ``problems`` grows by what is not understood.

    The newest fragment of a host says whether it is reachable, and which backups, copies and servers there are; where
    it has not looked, the one before it counts. Outcomes count for each database. Each host in ``expected`` of which
    no fragment speaks is one that nobody reached.
    """
    dated: List[Tuple[int, Host]] = []
    for source, document in documents:
        told: List[str] = []
        try:
            dated += read_fragment(document, told.append)
        except ValueError as error:
            told.append(str(error))
        problems += [Problem(source, msg) for msg in told[:_MAX_PROBLEMS]]
        if len(told) > _MAX_PROBLEMS:
            problems.append(Problem(source, "and {0} more".format(len(told) - _MAX_PROBLEMS)))
    hosts: Dict[str, Host] = {}
    for _at, host in sorted(dated, key=lambda item: item[0]):
        hosts[host.name] = _newer(hosts[host.name], host) if host.name in hosts else host
    for name in expected:
        if name not in hosts:
            silent = Target("unreachable", None, "no run has reported this host", None, None)
            hosts[name] = Host(name, False, silent, None, {}, None, None, None)
    return [hosts[name] for name in sorted(hosts)]


def _newer(old: Host, new: Host) -> Host:
    return new._replace(
        rpo=old.rpo if new.rpo is None else new.rpo,
        # The newer ones come last, also where an older one is replaced: two may turn out to be about one database.
        targets={**{key: old.targets[key] for key in old.targets if key not in new.targets}, **new.targets},
        history=old.history if new.history is None else new.history,
        copies=old.copies if new.copies is None else new.copies,
        found=old.found if new.found is None else new.found,
    )
