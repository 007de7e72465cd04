# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What our own sessions are told so that a restore into a new database takes less time. The server is told nothing.

``synchronous_commit=off``: nobody waits for the disk at each of the many commits. Nothing is risked by it. The log is
written in one order, and a crash loses an end of it: never the rows of a database that has been given its name, which
is a commit of its own, later, and as safe as the server makes any other.

``maintenance_work_mem``: indexes are sorted in more memory, where the server tells how much there is. All jobs together
take no more than a quarter of it, and none gets less than it would have.
"""

from __future__ import annotations

import re
from typing import Any, Mapping, Tuple

from ansible_collections.pgfleet.backup.plugins.module_utils._archive import Dump
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._session import Session

__all__ = ["hurried", "index_memory"]

_NO_WAIT = "synchronous_commit=off"
_SMALL = 4 * 1024 * 1024  # bytes of a dump whose indexes are sorted in the usual memory
_USUAL_JOBS = 4
_PART = 4
_MOST = 1024 * 1024  # in units of 1024 bytes; more has never made sorting faster
# The server's own view, which in a container is the container's. What is missing elsewhere is null.
_MEMORY = """
SELECT json_build_object(
  'setting', (SELECT setting::bigint FROM pg_settings WHERE name = 'maintenance_work_mem'),
  'meminfo', pg_read_file('/proc/meminfo', 0, 4096, true),
  'limits', json_build_array(pg_read_file('/sys/fs/cgroup/memory.max', 0, 64, true),
                             pg_read_file('/sys/fs/cgroup/memory/memory.limit_in_bytes', 0, 64, true)));
"""


def hurried(session: Session, dump: Dump, jobs: int) -> Tuple[str, ...]:
    """The settings for the sessions that restore ``dump`` by so many jobs."""
    memory = 0
    if session.server["superuser"] and dump.size >= _SMALL:  # nobody else may look
        try:
            memory = index_memory(session.executor.query_json(_MEMORY, database=session.maintenance_db), jobs)
        except BackupError as error:
            session.executor.log.add("How much memory the server has is not known: {0}".format(error))
    return (_NO_WAIT, "maintenance_work_mem={0}kB".format(memory)) if memory else (_NO_WAIT,)


def index_memory(answer: Mapping[str, Any], jobs: int) -> int:
    """What each of the jobs may take, in units of 1024 bytes; 0 for what it would have anyway."""
    found = re.search(r"^MemAvailable:\s+(\d+) kB", answer["meminfo"] or "", re.MULTILINE)
    if not found:
        return 0
    limits = [int(limit) // 1024 for limit in answer["limits"] if limit and limit.strip().isdigit()]
    each = min([int(found.group(1)), *limits]) // (_PART * max(jobs, _USUAL_JOBS))
    wanted = min(each, _MOST)
    return wanted if wanted > answer["setting"] else 0
