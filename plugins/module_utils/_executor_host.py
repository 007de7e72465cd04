# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's tools, for servers outside containers."""

from __future__ import annotations

import os
import threading
import time
from contextlib import contextmanager
from typing import AbstractSet, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.pgfleet.backup.plugins.module_utils._clients import Client, choose_client, find_clients
from ansible_collections.pgfleet.backup.plugins.module_utils._context import LOCAL, DbContext
from ansible_collections.pgfleet.backup.plugins.module_utils._executor import PgExecutor, Receive
from ansible_collections.pgfleet.backup.plugins.module_utils._guard import HOST
from ansible_collections.pgfleet.backup.plugins.module_utils._log import Redactor, RunLog
from ansible_collections.pgfleet.backup.plugins.module_utils._outgoing import Outgoing, outgoing
from ansible_collections.pgfleet.backup.plugins.module_utils._own_folder import own_folder
from ansible_collections.pgfleet.backup.plugins.module_utils._parallel import each, processors, until
from ansible_collections.pgfleet.backup.plugins.module_utils._process import (
    PopenProcess,
    ToolProcess,
    ToolTimeout,
    pump,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._storage import storage_errors, write_chunks

__all__ = ["HostPGExecutor"]

# Inherited variables that would send a tool elsewhere, or change what it does there.
# Discovery has read the password already, and knows for which server and role it is.
_ROUTES = (
    "PGCLIENTENCODING", "PGDATABASE", "PGLOADBALANCEHOSTS", "PGPASSWORD", "PGSERVICE", "PGSERVICEFILE",
    "PGTARGETSESSIONATTRS",
)
_VERSION_SECONDS = 30.0


class HostPGExecutor(PgExecutor):
    """Runs the client tools of the managed host, with the password in their environment only."""

    name = HOST
    label = "HostPGExecutor"
    transport = "direct"
    writes_here = True

    def __init__(
        self, context: DbContext, *, log: RunLog, redactor: Redactor, run_id: str, failure: str,
        environ: Mapping[str, str],
    ) -> None:
        super().__init__(context, log=log, redactor=redactor, run_id=run_id, failure=failure)
        self._environ = environ
        self._clients: Optional[List[Client]] = None
        self._at_least = 0

    @property
    def client(self) -> Client:
        return choose_client(
            self._installed(), server_major=self.context.server_major, at_least=self._at_least
        )

    def require_client(self, at_least: int) -> Client:
        self._at_least = at_least
        return self.client

    def _installed(self) -> List[Client]:
        if self._clients is None:
            self._guard("pg_dump")  # asking for versions starts processes too
            self._clients = find_clients(self._environ.get("PATH", os.defpath), ask=self._ask)
        return self._clients

    def _ask(self, program: str) -> str:
        output: List[bytes] = []
        process = PopenProcess([program, "--version"], env=self._environ, stdin=False)
        try:
            pump(process, source=None, on_stdout=output.append, on_stderr=output.append, timeout=_VERSION_SECONDS)
        except ToolTimeout as error:
            raise OSError("{0} does not answer".format(program)) from error
        finally:
            process.kill()
            process.close()
        return b"".join(output).decode("utf-8", "replace")

    def _start(self, argv: Sequence[str], *, env: Mapping[str, str], stdin: bool) -> ToolProcess:
        full_env: Dict[str, str] = {key: value for key, value in self._environ.items() if key not in _ROUTES}
        full_env.update(env)
        # Until the server has said its version any client will do to ask it: psql speaks to older and newer ones.
        client = self.client if self.context.server_version_num else self._newest()
        return PopenProcess([client.path(argv[0])] + list(argv[1:]), env=full_env, stdin=stdin)

    def _newest(self) -> Client:
        return max(self._installed() or [choose_client([], server_major=0)], key=lambda client: client.numbers)

    def _announce(self, tool: str, argv: Sequence[str]) -> None:
        self.log.add("[{0}] Executing {1} from host to {2} database: {3}".format(
            self.label, tool, self.context.mode, self.place()))
        self.log.add("[{0}] This will use host {1} binary - NOT docker exec".format(self.label, tool))
        self.log.add("[{0}] Running: {1}".format(self.label, self._shown([self.client.path(tool)] + list(argv[1:]))))

    def place(self) -> str:
        """``host:port``, or the socket's folder."""
        context = self.context
        if context.host:
            return "{0}:{1}".format(context.host, context.port)
        return "{0} (port {1})".format(context.socket or "default socket", context.port)

    def _signal(self, process: ToolProcess, name: str) -> None:
        if name == "KILL":
            process.kill()
        else:
            process.terminate()

    def _gone(self, process: ToolProcess, seconds: float) -> bool:
        try:
            process.wait(time.monotonic() + seconds)
        except ToolTimeout:
            return False
        return True

    def _where(self) -> str:
        return "on the host"

    @contextmanager
    def readable(self, path: str, *, unpack: AbstractSet[str] = frozenset()) -> Iterator[str]:
        if not unpack:
            yield path
            return
        with own_folder() as folder:

            def lay_clear(file: Outgoing, stop: threading.Event) -> None:
                place = os.path.join(folder, file.name)
                with storage_errors(place):
                    write_chunks(place, self.in_time("decompressing the backup", until(stop, file.chunks())))

            each(outgoing(path, unpack=unpack), lay_clear, threads=processors())
            yield folder

    @contextmanager
    def writable(self, path: str, receive: Optional[Receive]) -> Iterator[str]:
        if receive is None:
            yield path
            return
        take_file = receive
        with own_folder(os.path.dirname(path), ".raw-") as folder:
            yield folder

            def take(file: Outgoing, stop: threading.Event) -> None:
                chunks = self.in_time("compressing the dump", until(stop, file.chunks()))
                take_file(file.name, os.path.getsize(file.path), chunks)
                os.unlink(file.path)  # so that there need not be room for both

            each(outgoing(folder), take, threads=processors())

    def written(self, place: str) -> Optional[List[Tuple[str, int]]]:
        with os.scandir(place) as entries:
            return [(entry.name, entry.stat(follow_symlinks=False).st_size) for entry in entries]

    @contextmanager
    def bulk_output(self) -> Iterator[str]:
        yield self.transport

    @contextmanager
    def staging(self) -> Iterator[Optional[int]]:
        yield None

    def free_space(self, path: str) -> Optional[int]:
        if self.context.mode != LOCAL:
            return None  # a path of this name would be another machine's
        try:
            found = os.statvfs(path)
        except OSError:
            return None
        return found.f_bavail * found.f_frsize
