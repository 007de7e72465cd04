# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starting a tool in the right place, behind the guard, and ending it whatever happens: what both executors share."""

from __future__ import annotations

import copy
import shlex
import threading
import time
from abc import abstractmethod
from contextlib import contextmanager
from typing import (
    Callable,
    ClassVar,
    Dict,
    Iterable,
    Iterator,
    List,
    Mapping,
    NoReturn,
    Optional,
    Sequence,
    TypeVar,
)

from ansible_collections.pgfleet.backup.plugins.module_utils._bounded import Bounded
from ansible_collections.pgfleet.backup.plugins.module_utils._clients import Client
from ansible_collections.pgfleet.backup.plugins.module_utils._connection import (
    connection_args,
    connection_env,
    plain_env,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._context import DbContext
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._guard import guard
from ansible_collections.pgfleet.backup.plugins.module_utils._hold import Hold
from ansible_collections.pgfleet.backup.plugins.module_utils._log import Redactor, RunLog
from ansible_collections.pgfleet.backup.plugins.module_utils._process import (
    StreamBroken,
    ToolProcess,
    ToolTimeout,
    follow,
    pump,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._stderr import StderrLines, classify
from ansible_collections.pgfleet.backup.plugins.module_utils._tool_output import (
    OneReader,
    ToolResult,
    bounded,
    first_error,
    is_missing,
    only_stdout,
)

__all__ = ["ToolRunner"]

R = TypeVar("R", bound="ToolRunner")


class ToolRunner(Bounded):
    """Starts tools for one context, and ends them.

    ``failure`` is the code of the operation under way (``BACKUP_FAILED`` or ``RESTORE_FAILED``), used where nothing
    more precise is known.
    """

    name: ClassVar[str]
    label: ClassVar[str]

    def __init__(self, context: DbContext, *, log: RunLog, redactor: Redactor, run_id: str, failure: str) -> None:
        super().__init__()
        self.context = context
        self.log = log
        self.redactor = redactor
        self.run_id = run_id
        self.work_id = run_id  # by which processes, sessions and folders are known to be of this work
        self.failure = failure
        self._settings: Sequence[str] = ()
        self._ending = False

    def part(self: R, name: str, log: RunLog, stop: threading.Event) -> R:
        """The same tools for one part of the run, in a thread of its own: nothing that ends one part ends another.

        Once ``stop`` is set, its tools are ended, and what goes on with it raises ``Stopped``.
        """
        part = copy.copy(self)
        part.work_id = "{0}-{1}".format(self.work_id, name)
        part.log = log
        part.halt_on(stop)
        return part

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
    def end_sessions(self) -> None:
        """End the sessions of this run on the server. Never raises."""

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
                check=self.heed if self.may_halt else None,
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

    @contextmanager
    def _held(self, argv: Sequence[str], *, env: Mapping[str, str], first: bytes = b"") -> Iterator[str]:
        """Run a tool that does its work, prints ``ready``, and ends when its stdin does; yields what it printed."""
        hold = Hold(self._begin(argv, env=env, stdin=True))
        try:
            try:
                ready = hold.tell(first, self._seconds_left(None), self.heed)
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
            frames = follow(
                process, source=source, timeout=self._seconds_left(None), check=self.heed if self.may_halt else None
            )
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
    def told(self, settings: Sequence[str]) -> Iterator[None]:
        """Inside, sessions are opened with these settings (``name=value``) of their own."""
        if settings:
            self.log.add("Sessions are told {0}".format(", ".join(settings)))
        before, self._settings = self._settings, settings
        try:
            yield
        finally:
            self._settings = before

    # Inside.

    def _begin(self, argv: Sequence[str], *, env: Mapping[str, str], stdin: bool) -> ToolProcess:
        """The one place where a tool starts, right behind the guard."""
        self.heed()
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
        return connection_env(self.context, self.application_name, self._settings)

    @property
    def application_name(self) -> str:
        """The name that every session of this work carries in ``pg_stat_activity``."""
        return "pgfleet/{0}".format(self.work_id)

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

    @abstractmethod
    def _gone(self, process: ToolProcess, seconds: float) -> bool:
        """Wait up to ``seconds`` for a signalled tool to end."""

    @abstractmethod
    def _where(self) -> str:
        """``on the host`` or ``in container app``, for messages."""

    def _broke_off(self, tool: str, error: StreamBroken) -> BackupError:
        return BackupError(self.failure, "{0}: the stream broke off: {1}".format(tool, error), retryable=True)

    def _timed_out(self, work: str) -> BackupError:
        code = "RESTORE_TIMEOUT" if self.failure == "RESTORE_FAILED" else "BACKUP_TIMEOUT"
        return BackupError(code, "{0} {1} did not end within the time allowed and was stopped".format(
            work, self._where()))

    def _clean(self, line: str) -> str:
        return self.redactor(line)

    @staticmethod
    def _shown(argv: Sequence[str]) -> str:
        return " ".join(shlex.quote(part) for part in argv)
