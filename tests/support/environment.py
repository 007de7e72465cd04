# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The environment of the processes that tests start: ours, without what a developer may have set for other purposes."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

__all__ = ["COLLECTIONS", "REPOSITORY", "clean_environment"]

# Not resolved on purpose: the collection is found through the folders ansible_collections/pgfleet/backup.
COLLECTIONS = Path(__file__).parents[5]
REPOSITORY = Path(__file__).resolve().parents[2]

# What would lead the collection to another server, or Ansible to another configuration.
_FOREIGN = ("PG", "POSTGRES", "DATABASE_URL", "ANSIBLE_")
_OURS = ("PGFLEET_",)
# Beside the interpreter's packages: the checkout stays clean, and a process need not compile us, which takes longer
# than all that it runs.
_COMPILED = str(Path(sys.prefix, "pycache"))


def clean_environment(changes: Mapping[str, str | None] | None = None) -> dict[str, str]:
    """Our environment less foreign variables, with ``changes`` on top; a change to ``None`` takes a variable out."""
    env = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(_OURS) or not name.startswith(_FOREIGN)
    }
    env.update(PYTHONPATH=str(COLLECTIONS), PYTHONPYCACHEPREFIX=_COMPILED, LC_ALL="C.UTF-8")
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    for name, value in (changes or {}).items():
        if value is None:
            env.pop(name, None)
        else:
            env[name] = value
    return env
