# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tools inside the server's own container, by ``docker exec``."""

from __future__ import annotations

import json
import os
import secrets
import time
from contextlib import ExitStack, contextmanager, suppress
from typing import AbstractSet, Any, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.pgfleet.backup.plugins.module_utils._clients import Client, choose_client, parse_version
from ansible_collections.pgfleet.backup.plugins.module_utils._container_wall import may_look_into, open_folder
from ansible_collections.pgfleet.backup.plugins.module_utils._context import DbContext
from ansible_collections.pgfleet.backup.plugins.module_utils._engine_door import EngineDoor
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._executor import PgExecutor, Receive
from ansible_collections.pgfleet.backup.plugins.module_utils._guard import DOCKER
from ansible_collections.pgfleet.backup.plugins.module_utils._log import Redactor, RunLog
from ansible_collections.pgfleet.backup.plugins.module_utils._process import ToolProcess
from ansible_collections.pgfleet.backup.plugins.module_utils._staging import STREAM, Staging
from ansible_collections.pgfleet.backup.plugins.module_utils._wall_process import WallProcess, into_pipe

__all__ = ["DockerPGExecutor"]

_OUT = "out"
_STAGING = "/tmp"  # noqa: S108  # the one folder that every image has; what we make in it has a name of its own
# Ends the processes of a run: they are told by PGAPPNAME, which pg_dump's parallel workers inherit. The values
# travel as positional parameters. $1: application name, $2: signal (0 only counts); prints how many there were.
# Only those are signalled that the engine has started; they end their workers. What has lost its parent is the child of
# the container's first process, which is the server: it takes a child that a signal ended for a server process that has
# crashed, and restarts, with everybody's sessions. Such a one ends by itself, or with its session.
_SIGNAL_SCRIPT = """
n=0
ours() { tr '\\0' '\\n' 2>/dev/null <"/proc/$1/environ" | grep -qxF "PGAPPNAME=$2"; }
for p in /proc/[0-9]*; do
  p=${p#/proc/}
  ours "$p" "$1" || continue
  n=$((n + 1))
  parent=1
  while read -r key value; do [ "$key" != PPid: ] || parent=$value; done 2>/dev/null <"/proc/$p/status"
  [ "$parent" = 1 ] || ours "$parent" "$1" || kill -"$2" "$p" 2>/dev/null
done
echo "$n"
"""
# Makes a folder ($1) that is gone when we are, killed or not: the script stays, and removes it when its stdin ends. It
# waits without a child, which would lose its parent when the script is ended, see above.
# $2 is the secret by which the folder is known again from outside. First the script removes, and names, what was left
# by runs of which no process is there any more. All are told by PGAPPNAME. Then it says how many blocks of 1024 bytes
# are free there, if there is the tar that brings a dump over.
_STAGE_SCRIPT = """
for folder in "${1%/*}"/.pgfleet-*; do
  [ -d "$folder" ] && [ ! -L "$folder" ] && [ -O "$folder" ] || continue
  for p in /proc/[0-9]*; do
    if tr '\\0' '\\n' <"$p/environ" 2>/dev/null | grep -qxF "PGAPPNAME=pgfleet/${folder##*/.pgfleet-}"; then
      continue 2
    fi
  done
  rm -rf "$folder" && echo "$folder"
done
mkdir -m 700 "$1" && (umask 077 && printf %s "$2" >"$1/.proof") || exit
command -v tar >/dev/null && df -Pk "$1" | { read -r head; read -r disk all used free rest; echo "room $free"; }
echo ready
while read -r line; do :; done
for attempt in 1 2 3 4 5; do  # somebody who was killed less thoroughly may still write into it
  rm -rf "$1" && break
  sleep 1
done
"""
# Ends the container with us. Its first process is the server, or in the beginning the script that makes it.
_LIFELINE_SCRIPT = "echo ready; cat >/dev/null; while kill -QUIT 1 2>/dev/null; do sleep 1; done"
# In front of a question to the server: psql has the version of the client beside it printed, which spares an exec.
_VERSION_FIRST = "\n\\! pg_dump --version\n"


class DockerPGExecutor(PgExecutor):
    """Runs the container's own client tools; the host's are never touched."""

    name = DOCKER
    label = "DockerPGExecutor"
    transport = STREAM  # until a staging folder has shown that it can be reached from the host
    writes_here = False

    def __init__(
        self, context: DbContext, *, log: RunLog, redactor: Redactor, run_id: str, failure: str, door: EngineDoor
    ) -> None:
        super().__init__(context, log=log, redactor=redactor, run_id=run_id, failure=failure)
        self._door = door
        self._client: Optional[Client] = None
        self._staging: Optional[Staging] = None
        self._bulk: Optional[Staging] = None  # where the output of tools goes round the engine

    @property
    def client(self) -> Client:
        if self._client is None:
            output = self.run("pg_dump", ["--version"], timeout=60.0).stdout.decode("utf-8", "replace")
            self._client = parse_version(output, folder="")
        return choose_client([self._client], server_major=self.context.server_major)

    def ask_first(self, sql: str, *, database: str) -> Any:
        said, brace, answer = self.query(_VERSION_FIRST + sql, database=database).partition("{")
        if said:  # an image without a shell says nothing
            self._client = parse_version(said, folder="")
        return json.loads(brace + answer)

    def require_client(self, at_least: int) -> Client:
        return choose_client([self.client], server_major=self.context.server_major, at_least=at_least)

    def _start(self, argv: Sequence[str], *, env: Mapping[str, str], stdin: bool) -> ToolProcess:
        container = self.context.container
        if container is None:
            raise ValueError("a context without a container cannot pass the guard")
        engine = self._door.open()
        if self._bulk is None or stdin:
            return engine.exec(container, argv, env=env, stdin=stdin)
        place, pipe = self._bulk.make_pipe()
        try:
            return WallProcess(engine.exec(container, into_pipe(place, argv), env=env), pipe)
        except BaseException:
            os.close(pipe)
            raise

    def _announce(self, tool: str, argv: Sequence[str]) -> None:
        name = self.context.container_name
        self.log.add("[{0}] Executing {1} inside container: {2}".format(self.label, tool, name))
        self.log.add("[{0}] This will use 'docker exec' - NO host {1}".format(self.label, tool))
        self.log.add("[{0}] Running: docker exec {1} {2}".format(self.label, name, self._shown(argv)))

    def _signal(self, process: ToolProcess, name: str) -> None:
        self._signalled(name)

    def _signalled(self, signal: str) -> int:
        """Send a signal to all processes of this run inside the container; how many there were."""
        script = ["sh", "-c", _SIGNAL_SCRIPT, "sh", self.application_name, signal]
        try:
            # Its own environment must not carry the name, or it would find itself.
            return int(self.run_plain(script, env={"PGAPPNAME": "pgfleet-end"}, timeout=10.0).strip() or 0)
        except (BackupError, ValueError) as error:
            self.log.add("processes in container {0} could not be signalled: {1}".format(
                self.context.container_name, error))
            return 0

    def _gone(self, process: ToolProcess, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        # An image without the programs of the script finds nobody; the engine knows the tool itself all the same.
        while not process.ended() or self._signalled("0"):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        return True

    def lives(self) -> bool:
        """Whether a process of this run is in the container, or nobody can know."""
        script = ["sh", "-c", _SIGNAL_SCRIPT, "sh", self.application_name, "0"]
        try:
            return int(self.run_plain(script, env={"PGAPPNAME": "pgfleet-end"}, timeout=10.0)) > 0
        except (BackupError, ValueError):
            return True

    @contextmanager
    def lifeline(self) -> Iterator[None]:
        """A container of our own: it ends with what happens inside, and also when this process is killed."""
        with self._held(["sh", "-c", _LIFELINE_SCRIPT], env=self._env(None)):
            yield

    def _where(self) -> str:
        return "in container {0}".format(self.context.container_name)

    def free_space(self, path: str) -> Optional[int]:
        found = self.run("df", ["-Pk", path], check=False, timeout=60.0)
        try:
            fields = found.stdout.decode("utf-8", "replace").splitlines()[-1].split()
            return int(fields[3]) * 1024 if found.status == 0 else None
        except (ValueError, IndexError):
            return None

    @contextmanager
    def staging(self) -> Iterator[Optional[int]]:
        with ExitStack() as stack:
            staging = self._try_staging(stack)
            yield staging.room if staging else 0

    @contextmanager
    def readable(self, path: str, *, unpack: AbstractSet[str] = frozenset()) -> Iterator[str]:
        with self._staged() as staging:
            self.transport = staging.transport
            yield staging.put(path, unpack)

    @contextmanager
    def writable(self, path: str, receive: Optional[Receive]) -> Iterator[str]:
        if receive is None:
            raise ValueError("nothing that a container writes is already where it belongs")
        with self._staged() as staging:
            self.transport = staging.transport
            yield "{0}/{1}".format(staging.place, _OUT)
            staging.collect(_OUT, receive)

    def written(self, place: str) -> Optional[List[Tuple[str, int]]]:
        staging = self._staging
        if staging is None or staging.wall is None:
            return None
        folder = staging.wall.inner(os.path.basename(place))
        try:
            return folder.files()
        finally:
            folder.close()

    @contextmanager
    def bulk_output(self) -> Iterator[str]:
        container = self.context.container
        if container is None or not may_look_into(container.pid):
            yield STREAM
            return
        with ExitStack() as stack:
            staging = self._try_staging(stack)
            self._bulk = staging if staging and staging.wall else None
            try:
                yield self._bulk.transport if self._bulk else STREAM
            finally:
                self._bulk = None

    def _try_staging(self, stack: ExitStack) -> Optional[Staging]:
        """None for an image without a shell, or a file system that nobody may write: what can then be streamed is."""
        self._guard("sh")
        try:
            return stack.enter_context(self._staged())
        except BackupError as error:
            self.log.add("The output goes through the engine: {0}".format(error.what))
            return None

    @contextmanager
    def _staged(self) -> Iterator[Staging]:
        """The staging folder of this run, the same for all that ask meanwhile. It goes when the first is done."""
        if self._staging is not None:
            yield self._staging
            return
        folder = "{0}/.pgfleet-{1}".format(_STAGING, self.work_id)
        proof = secrets.token_hex(16)
        # mkdir is without -p: a folder of this name that somebody else made is refused.
        with self._held(["sh", "-c", _STAGE_SCRIPT, "sh", folder, proof], env=self._env(None)) as said:
            room = 0
            for line in said.splitlines():
                word, _space, number = line.partition(" ")
                if word == "room":
                    room = int(number) * 1024 if number.isdigit() else 0
                else:
                    self.log.add("Removed what a killed run left {0}: {1}".format(self._where(), line))
            container = self.context.container
            wall = open_folder(container.pid if container else 0, folder, proof=proof.encode("ascii"))
            self._staging = Staging(self, folder, wall, room)
            try:
                yield self._staging
            except BaseException:
                # Whatever ends our processes may have ended the script as well.
                with self.unlimited(), suppress(BackupError):
                    self.run_plain(["rm", "-rf", folder], timeout=120.0)
                raise
            finally:
                self._staging = None
                if wall:
                    wall.close()

    def run_plain(
        self,
        argv: Sequence[str],
        *,
        source: Optional[Iterable[bytes]] = None,
        env: Optional[Mapping[str, str]] = None,
        timeout: Optional[float] = 60.0,
    ) -> str:
        """Run one of the container's own small tools, under the same guard, without any of libpq's variables."""
        result = self.run(
            argv[0], list(argv[1:]), source=source, env=env, timeout=None if source else timeout
        )
        return result.stdout.decode("utf-8", "replace")
