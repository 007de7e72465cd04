# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether what is written to a folder of the controller is still there when its job is over."""

from __future__ import annotations

import os
import re
from typing import Mapping, Tuple

from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError

__all__ = ["require_lasting", "vanishes"]

_MARKS = ("/run/.containerenv", "/.dockerenv")
_VARIABLES = ("AWX_HOST", "KUBERNETES_SERVICE_HOST", "LAUNCHED_BY_RUNNER")
# A container's own layer, and memory.
_FLEETING = re.compile(r"overlay|aufs|tmpfs|ramfs|fuse\.fuse-overlayfs|rootfs")
_JOB_FOLDER = "/runner"  # where AWX mounts what belongs to one job


def require_lasting(path: str, *, option: str, env: Mapping[str, str]) -> None:
    """Raise INVALID_DB_CONFIG when this is an execution environment in which ``path`` vanishes with the job."""
    if not (any(map(os.path.exists, _MARKS)) or any(env.get(name) for name in _VARIABLES)):
        return
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            mounts = file.read()
    except OSError:
        return
    reason = vanishes(os.path.realpath(path), mounts, in_awx=bool(env.get("AWX_HOST")))
    if reason:
        raise BackupError(
            "INVALID_DB_CONFIG", "{0}={1} would vanish with this execution environment: {2}".format(
                option, path, reason),
            hint="Mount a persistent folder into the execution environment (in AWX: 'Paths to expose to isolated "
                 "jobs', or a volume of the container group), and set {0} to a folder in it.".format(option),
        )


def vanishes(path: str, mounts: str, *, in_awx: bool) -> str:
    """Why ``path`` (absolute, without links) does not outlast its container; empty when it does.

    ``mounts`` is the content of ``/proc/self/mountinfo``.
    """
    if in_awx and _below(path, _JOB_FOLDER):
        return "{0} belongs to the job".format(_JOB_FOLDER)
    point, kind = _mount_of(path, mounts)
    return "it lies on {0}, mounted at {1}".format(kind, point) if _FLEETING.fullmatch(kind) else ""


def _mount_of(path: str, mounts: str) -> Tuple[str, str]:
    """Where the file system that holds ``path`` is mounted, and its kind; the last one that covers it counts."""
    found = ("/", "an unknown file system")
    for line in mounts.splitlines():
        before, _dash, after = line.partition(" - ")
        point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), before.split(" ")[4])
        if _below(path, point) and len(point) >= len(found[0]):
            found = (point, after.split(" ")[0])
    return found


def _below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")
