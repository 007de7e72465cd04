# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running a PostgreSQL tool in the right place: what both executors share, the guard included."""

from __future__ import annotations

import json
import shlex
import time
from abc import ABC, abstractmethod
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
    Mapping,
    NoReturn,
    Optional,
    Sequence,
)

from ansible_collections.pgfleet.backup.plugins.module_utils._clients import Client
from ansible_collections.pgfleet.backup.plugins.module_utils._connection import (
    connection_args,
    connection_env,
    plain_env,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._context import DbContext
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._guard import guard
from ansible_collections.pgfleet.backup.plugins.module_utils._hold import READY, Hold
from ansible_collections.pgfleet.backup.plugins.module_utils._log import Redactor, RunLog
from ansible_collections.pgfleet.backup.plugins.module_utils._process import (
    StreamBroken,
    ToolProcess,
    ToolTimeout,
    follow,
    pump,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._sql import literal
from ansible_collections.pgfleet.backup.plugins.module_utils._stderr import StderrLines, classify
from ansible_collections.pgfleet.backup.plugins.module_utils._tool_output import (
    OneReader,
    ToolResult,
    bounded,
    first_error,
    ignore,
    is_missing,
    only_stdout,
)

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


class PgExecutor(ABC):
    """Runs PostgreSQL tools for one context.

    ``failure`` is the code of the operation under way (``BACKUP_FAILED`` or ``RESTORE_FAILED``), used where nothing
    more precise is known. ``deadline`` (``time.monotonic()``) bounds every tool once it is set.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    transport: str
    writes_here: ClassVar[bool]  # whether its tools can write files of this host

    def __init__(self, context: DbContext, *, log: RunLog, redactor: Redactor, run_id: str, failure: str) -> None:
        self.context = context
        self.log = log
        self.redactor = redactor
        self.run_id = run_id
        self.failure = failure
        self.deadline: Optional[float] = None
        self.control_database = context.database  # where sessions can be ended from
        self.refusals: Dict[str, Optional[str]] = {}  # compressions that were asked for; what pg_dump said to them
        self._ending = False

    # What a subclass knows: its client, how to start a tool, and how to end what it started.

    @property
    @abstractmethod
    def client(self) -> Client:
        """The client whose tools are run. Raises ``CLIENT_NOT_FOUND`` or ``CLIENT_TOO_OLD``."""

    @abstractmethod
    def require_client(self, at_least: int) -> Client:
        """The client for an archive that a client of that major version wrote. Raises ``CLIENT_TOO_OLD``."""

    @abstractmethod
    def _start(self, argv: Sequence[str], *, env: Mapping[str, str], stdin: bool) -> ToolProcess:
        """Start a tool. Only :meth:`_begin` calls it, after the guard."""

    @abstractmethod
    def _announce(self, tool: str, argv: Sequence[str]) -> None:
        """Say in the log which way this tool goes."""

    @abstractmethod
    def _signal(self, process: ToolProcess, name: str) -> None:
        """Send TERM or KILL to a tool and its children, wherever they run. Never raises."""

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
    def bulk_output(self) -> ContextManager[str]:
        """Inside, what tools without input print takes the fastest way there is: the transport that this is."""

    @abstractmethod
    def staging_room(self) -> Optional[int]:
        """Free bytes where :meth:`writable` stages, 0 where it cannot; None when it stages nowhere."""

    @abstractmethod
    def free_space(self, path: str) -> Optional[int]:
        """Free bytes where the server keeps ``path``; None when that cannot be seen from here."""

    # Running.

    def run(
        self,
        tool: str,
        args: Sequence[str],
        *,
        database: Optional[str] = None,
        source: Optional[Iterable[bytes]] = None,
        on_stdout: Optional[Callable[[bytes], object]] = None,
        on_line: Optional[Callable[[str], None]] = None,
        env: Optional[Mapping[str, str]] = None,
        announce: bool = False,
        check: bool = True,
        timeout: Optional[float] = None,
    ) -> ToolResult:
        """Run a tool to its end.

        ``database`` adds the connection (``-d``); without it the tool connects to nothing. ``source`` is fed to its
        stdin. ``on_stdout`` receives chunks; without it stdout is collected, up to a bound. ``on_line`` sees each
        redacted stderr line. Whatever goes wrong, the tool is ended before the exception leaves.
        Raises ``BackupError``: by what stderr says, else the operation's own code.
        """
        argv = [tool] + connection_args(self.context, database) + list(args)
        collected: List[bytes] = []
        stderr = StderrLines(self._clean, on_line)
        started = time.monotonic()
        base = self._env(database)
        self._guard(tool)  # what the announcement says of the client may need a process already
        if announce:
            self._announce(tool, argv)
        process = self._begin(argv, env=dict(base, **(env or {})), stdin=source is not None)
        try:
            status = pump(
                process,
                source=source,
                on_stdout=on_stdout or bounded(collected),
                on_stderr=stderr.feed,
                timeout=self._seconds_left(timeout),
            )
        except StreamBroken as error:
            self._end(process)
            raise self._broke_off(tool, error) from error
        except ToolTimeout as error:
            self._end(process)
            raise self._timed_out(tool) from error
        except BaseException:
            self._end(process)
            raise
        finally:
            process.close()
        result = ToolResult(status, b"".join(collected), stderr.finish(), time.monotonic() - started)
        if check and status != 0:
            self.fail(tool, result)
        return result

    def fail(self, tool: str, result: ToolResult) -> NoReturn:
        """Raise what a failed tool's output means."""
        text = result.stderr + result.stdout[-2000:].decode("utf-8", "replace")
        if result.status in (126, 127) and is_missing(text):
            raise BackupError("CLIENT_NOT_FOUND", "{0} was not found {1}".format(tool, self._where()))
        for line in result.stderr.splitlines()[-15:]:
            self.log.add("{0}: {1}".format(tool, line))
        code = classify(text, default=self.failure)
        raise BackupError(code, "{0} {1} exited with status {2}: {3}".format(
            tool, self._where(), result.status, first_error(result.stderr)))

    def query(self, sql: str, *, database: str, timeout: Optional[float] = _QUERY_SECONDS) -> str:
        """Run SQL by ``psql`` and return what it prints, without alignment or headers.

        ``timeout`` None is for what may rightly take as long as it takes.
        """
        args = ["-XAtq", "-v", "ON_ERROR_STOP=1", "-f", "-"]
        result = self.run(
            "psql", args, database=database, source=[_SYSTEM_FIRST, sql.encode("utf-8")],
            env={"PGCLIENTENCODING": "UTF8"}, timeout=timeout,
        )
        return result.stdout.decode("utf-8", "replace").rstrip("\n")

    def query_json(self, sql: str, *, database: str, timeout: Optional[float] = _QUERY_SECONDS) -> Any:
        """Run a query that returns one JSON value."""
        text = self.query(sql, database=database, timeout=timeout)
        return json.loads(text) if text else None

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
        argv = ["psql", *connection_args(self.context, database), "-XAtq", "-v", "ON_ERROR_STOP=1", "-f", "-"]
        script = "{0} \\g /dev/null\n{1}\n\\echo {2}\n".format(_PATIENCE, sql, READY)
        env = dict(self._env(database), PGCLIENTENCODING="UTF8")
        with self._held(argv, env=env, first=script.encode("utf-8")):
            yield

    @contextmanager
    def _held(self, argv: Sequence[str], *, env: Mapping[str, str], first: bytes = b"") -> Iterator[str]:
        """Run a tool that does its work, prints ``ready``, and ends when its stdin does; yields what it printed."""
        hold = Hold(self._begin(argv, env=env, stdin=True))
        try:
            try:
                ready = hold.tell(first, self._seconds_left(None))
            except ToolTimeout as error:
                raise self._timed_out(argv[0]) from error
            if not ready:
                status = 1 if hold.status is None else hold.status
                self.fail(argv[0], ToolResult(status, b"", self._clean(hold.errors), 0.0))
            yield hold.output
        finally:
            hold.let_go()

    @contextmanager
    def stream(
        self, tool: str, args: Sequence[str], *, source: Optional[Iterable[bytes]] = None, announce: bool = True
    ) -> Iterator[Iterator[bytes]]:
        """Run a tool that connects to nothing beside what happens inside, which reads its stdout as it comes.

        The reading ends without an exception only when the tool has ended with status 0, and raises what :meth:`run`
        would. It may be done in another thread. The tool does not outlive the block.
        """
        argv = [tool, *args]
        self._guard(tool)
        if announce:
            self._announce(tool, argv)
        process = self._begin(argv, env=self._env(None), stdin=source is not None)
        stderr = StderrLines(self._clean)
        started = time.monotonic()

        def chunks() -> Iterator[bytes]:
            frames = follow(process, source=source, timeout=self._seconds_left(None))
            try:
                status = yield from only_stdout(frames, stderr.feed)
            except StreamBroken as error:
                raise self._broke_off(tool, error) from error
            except ToolTimeout as error:
                raise self._timed_out(tool) from error
            if status != 0:
                self.fail(tool, ToolResult(status, b"", stderr.finish(), time.monotonic() - started))

        reading = OneReader(chunks())
        try:
            yield reading
        finally:
            if not reading.finished:
                self._stop(process)
                reading.stop()
            process.close()

    @contextmanager
    def time_limit(self, seconds: float) -> Iterator[None]:
        """Bound everything that runs inside by ``seconds``; 0 means no bound."""
        before = self.deadline
        if seconds:
            self.deadline = time.monotonic() + seconds
        try:
            yield
        finally:
            self.deadline = before

    @contextmanager
    def unlimited(self) -> Iterator[None]:
        """Lift the bound for cleaning up, which must happen even when the time is over."""
        before, self.deadline = self.deadline, None
        try:
            yield
        finally:
            self.deadline = before

    # Inside.

    def _begin(self, argv: Sequence[str], *, env: Mapping[str, str], stdin: bool) -> ToolProcess:
        """The one place where a tool starts, right behind the guard."""
        self._guard(argv[0])
        try:
            return self._start(argv, env=env, stdin=stdin)
        except FileNotFoundError as error:
            raise BackupError("CLIENT_NOT_FOUND", "{0} was not found {1}".format(argv[0], self._where())) from error
        except OSError as error:
            raise BackupError(self.failure, "{0} cannot be started {1}: {2}".format(
                argv[0], self._where(), error.strerror or error)) from error

    def _guard(self, tool: str) -> None:
        guard(self.context, executor=self.name, tool=tool, failure=self.failure)

    def _env(self, database: Optional[str]) -> Dict[str, str]:
        if database is None:
            return plain_env(self.application_name)
        return connection_env(self.context, self.application_name)

    @property
    def application_name(self) -> str:
        """The name that every session of this run carries in ``pg_stat_activity``."""
        return "pgfleet/{0}".format(self.run_id)

    def _end(self, process: ToolProcess) -> None:
        """End a tool for good, and let go of it."""
        self._stop(process)
        process.close()

    def _stop(self, process: ToolProcess) -> None:
        """TERM, then the tool's sessions by name, then KILL. Never raises, and waits at most seconds."""
        if not self._ending:  # what ends a tool may fail itself, and must not be ended in turn for ever
            self._ending = True
            try:
                with self.unlimited():
                    self._signal(process, "TERM")
                    if not self._gone(process, 3.0):
                        self.end_sessions()
                        if not self._gone(process, 2.0):
                            self._signal(process, "KILL")
            finally:
                self._ending = False

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

    @abstractmethod
    def _gone(self, process: ToolProcess, seconds: float) -> bool:
        """Wait up to ``seconds`` for a signalled tool to end."""

    @abstractmethod
    def _where(self) -> str:
        """``on the host`` or ``in container app``, for messages."""

    def _seconds_left(self, timeout: Optional[float]) -> Optional[float]:
        if self.deadline is None:
            return timeout
        left = max(self.deadline - time.monotonic(), 0.001)
        return left if timeout is None else min(left, timeout)

    def _broke_off(self, tool: str, error: StreamBroken) -> BackupError:
        return BackupError(self.failure, "{0}: the stream broke off: {1}".format(tool, error), retryable=True)

    def _timed_out(self, tool: str) -> BackupError:
        code = "RESTORE_TIMEOUT" if self.failure == "RESTORE_FAILED" else "BACKUP_TIMEOUT"
        return BackupError(code, "{0} {1} did not end within the time allowed and was stopped".format(
            tool, self._where()))

    def _clean(self, line: str) -> str:
        return self.redactor(line)

    @staticmethod
    def _shown(argv: Sequence[str]) -> str:
        return " ".join(shlex.quote(part) for part in argv)
