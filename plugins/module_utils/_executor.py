# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL's tools in the right place: what both executors share."""

from __future__ import annotations

import json
from abc import abstractmethod
from contextlib import contextmanager
from typing import (
    AbstractSet,
    Any,
    Callable,
    ClassVar,
    ContextManager,
    Dict,
    Iterable,
    Iterator,
    List,
    Optional,
    Tuple,
)

from ansible_collections.pgfleet.backup.plugins.module_utils._connection import connection_args
from ansible_collections.pgfleet.backup.plugins.module_utils._context import DbContext
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._hold import READY
from ansible_collections.pgfleet.backup.plugins.module_utils._log import Redactor, RunLog
from ansible_collections.pgfleet.backup.plugins.module_utils._process import (
    StreamBroken,
    ToolTimeout,
    pump,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._sql import literal
from ansible_collections.pgfleet.backup.plugins.module_utils._tool_output import ignore
from ansible_collections.pgfleet.backup.plugins.module_utils._tool_runner import ToolRunner

__all__ = ["PgExecutor", "Receive"]

# Takes one file: its name, its size in bytes, its content in pieces. Called by several threads.
Receive = Callable[[str, int, Iterable[bytes]], None]

_QUERY_SECONDS = 300.0
# A session that only stays must not be ended for its silence. Before 14 there is no such setting.
_PATIENCE = "SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'idle_session_timeout'"
_END_SESSIONS = """
DO $end$
BEGIN
  FOR attempt IN 1..200 LOOP
    PERFORM pg_stat_clear_snapshot();
    PERFORM pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = {0};
    EXIT WHEN NOT FOUND;
    PERFORM pg_sleep(0.05);
  END LOOP;
END
$end$;
"""
# A database's owner may put a schema of his own in front of the system's, and we may be a superuser.
_SYSTEM_FIRST = b"SET search_path = pg_catalog; "


class PgExecutor(ToolRunner):
    """The tools of PostgreSQL for one context: where they run, what they read and write there, and their sessions."""

    transport: str
    writes_here: ClassVar[bool]  # whether its tools can write files of this host

    def __init__(self, context: DbContext, *, log: RunLog, redactor: Redactor, run_id: str, failure: str) -> None:
        super().__init__(context, log=log, redactor=redactor, run_id=run_id, failure=failure)
        self.control_database = context.database  # where sessions can be ended from
        self.refusals: Dict[str, Optional[str]] = {}  # compressions that were asked for; what pg_dump said to them

    # Files, for its tools and from them.

    @abstractmethod
    def readable(self, path: str, *, unpack: AbstractSet[str] = frozenset()) -> ContextManager[str]:
        """A place where this executor's tools can read the local file or folder ``path``.

        Files in a folder whose compression is in ``unpack`` are clear there.
        """

    @abstractmethod
    def writable(self, path: str, receive: Optional[Receive]) -> ContextManager[str]:
        """A place where this executor's tools can write the folder that is to be ``path``.

        At a successful end each file is handed to ``receive(name, bytes, chunks)``, several at a time. With None the
        tool writes ``path`` itself, which only tools of the host can.
        """

    @abstractmethod
    def written(self, place: str) -> Optional[List[Tuple[str, int]]]:
        """Name and size of each file that is in a :meth:`writable` ``place`` so far; None when it cannot be seen.

        For another thread to look on. Raises OSError.
        """

    @abstractmethod
    def bulk_output(self) -> ContextManager[str]:
        """Inside, what tools without input print takes the fastest way there is: the transport that this is."""

    @abstractmethod
    def staging(self) -> ContextManager[Optional[int]]:
        """Have the place where :meth:`writable` stages ready inside: its free bytes, 0 where nothing can be staged.

        None when nothing need be staged.
        """

    @abstractmethod
    def free_space(self, path: str) -> Optional[int]:
        """Free bytes where the server keeps ``path``; None when that cannot be seen from here."""

    # Questions and sessions.

    def query(self, sql: str, *, database: str, timeout: Optional[float] = _QUERY_SECONDS) -> str:
        """Run SQL by ``psql`` and return what it prints, without alignment or headers.

        ``timeout`` None is for what may rightly take as long as it takes.
        """
        result = self.run(
            "psql", self._query_args(), database=database, source=[_SYSTEM_FIRST, sql.encode("utf-8")],
            env={"PGCLIENTENCODING": "UTF8"}, timeout=timeout,
        )
        return result.stdout.decode("utf-8", "replace").rstrip("\n")

    def query_json(self, sql: str, *, database: str, timeout: Optional[float] = _QUERY_SECONDS) -> Any:
        """Run a query that returns one JSON value, or no row, which is None."""
        values = self.query_values(sql, database=database, timeout=timeout)
        return values[0] if values else None

    def query_values(self, sql: str, *, database: str, timeout: Optional[float] = _QUERY_SECONDS) -> List[Any]:
        """Run several queries in one session; the JSON values that they return, in order."""
        return list(_values(self.query(sql, database=database, timeout=timeout)))

    def ask_first(self, sql: str, *, database: str) -> Any:
        """:meth:`query_json` for the first question of all: what every run must know besides may come along."""
        return self.query_json(sql, database=database)

    @contextmanager
    def beside(self, sql: str, *, database: str) -> Iterator[None]:
        """Run SQL in a session of its own beside what happens inside; it must come to its end by itself soon after."""
        argv = ["psql", *connection_args(self.context, database), "-XAtq", "-c", sql]
        process = self._begin(argv, env=self._env(database), stdin=False)
        try:
            yield
            pump(process, source=None, on_stdout=ignore, on_stderr=ignore, timeout=10.0)
        except (StreamBroken, ToolTimeout):
            self._end(process)
        except BaseException:
            self._end(process)
            raise
        finally:
            process.close()

    @contextmanager
    def made_by(self, sql: str, *, database: str) -> Iterator[None]:
        """Run SQL in a session that stays for as long as what happens inside, and as this process lives.

        By it others can tell that what the SQL made is in use. Raises what :meth:`query` would.
        """
        argv = ["psql", *connection_args(self.context, database), *self._query_args()]
        script = "{0} \\g /dev/null\n{1}\n\\echo {2}\n".format(_PATIENCE, sql, READY)
        env = dict(self._env(database), PGCLIENTENCODING="UTF8")
        with self._held(argv, env=env, first=script.encode("utf-8")):
            yield

    def _query_args(self) -> List[str]:
        """A superuser has the server answer in English. To others psql tells the SQLSTATE, which has no language."""
        args = ["-XAtq", "-v", "ON_ERROR_STOP=1", "-f", "-"]
        return args if self.context.superuser else ["-v", "VERBOSITY=verbose", *args]

    def end_sessions(self) -> None:
        """End the sessions of this run on the server, and see them gone. A tool that died may have left one at work.

        Never raises, and takes seconds at most.
        """
        try:
            self.run(
                "psql", ["-XAtq", "-c", _END_SESSIONS.format(literal(self.application_name))],
                database=self.control_database, env={"PGAPPNAME": "pgfleet-end"}, timeout=15.0,
            )
        except BackupError as error:
            self.log.add("sessions of {0} could not be ended: {1}".format(self.application_name, error))


def _values(text: str) -> Iterator[Any]:
    decoder = json.JSONDecoder()
    while text:
        value, end = decoder.raw_decode(text)
        yield value
        text = text[end:].lstrip()
