# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much memory each job of a restore may take for its indexes."""

from __future__ import annotations

from typing import Any, Optional

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils._hurry import index_memory

MIB = 1024  # in units of 1024 bytes
GIB = 1024 * MIB


def server(available: Optional[int], *limits: Optional[str], setting: int = 64 * MIB) -> dict[str, Any]:
    meminfo = None if available is None else f"MemTotal:  99999999 kB\nMemFree: 1 kB\nMemAvailable:   {available} kB\nBuffers: 2 kB\n"
    return {"setting": setting, "meminfo": meminfo, "limits": list(limits)}


@pytest.mark.parametrize(("answer", "jobs", "expected"), [
    (server(8 * GIB), 2, 512 * MIB),
    (server(8 * GIB), 8, 256 * MIB),
    (server(64 * GIB), 1, GIB),  # never more
    (server(8 * GIB, f"{2 * GIB * 1024}\n", None), 4, 128 * MIB),  # a container's limit
    (server(8 * GIB, None, "9223372036854771712\n"), 4, 512 * MIB),  # one that is none
    (server(8 * GIB, "max\n", None), 4, 512 * MIB),
    (server(512 * MIB), 4, 0),  # too little to give any away
    (server(8 * GIB, setting=2 * GIB), 4, 0),  # the server gives more already
    (server(None), 4, 0),  # not Linux
])
def test_a_quarter_of_what_there_is_for_all_jobs(answer: dict[str, Any], jobs: int, expected: int) -> None:
    assert index_memory(answer, jobs) == expected
