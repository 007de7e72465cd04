# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Client tools that count their calls, and let one of them go wrong: a fault at any step of a run, for real.

The tools are small scripts in front of the real ones on PATH, of the host or of a container. Each call has a number. At
the chosen one the chosen fault happens; everywhere else the real tool runs.
"""

from __future__ import annotations

import itertools
from pathlib import Path

from ansible_collections.pgfleet.backup.tests.support.container import PostgresContainer

__all__ = ["FAULTS", "ContainerFaultyTools", "FaultyTools"]

FAULTS = {
    "refused": "the tool fails before it has done anything",
    "lost": "the tool does its work, and the connection is lost before it says so",
    "term": "the module gets SIGTERM while the tool runs",
    "kill": "the module gets SIGKILL while the tool runs",
    "stay": "the tool waits, until somebody lets it do its work",
    "cut": "the server ends the session after some lines of the tool's input",
}

_TOOLS = ("pg_dump", "pg_restore", "psql", "vacuumdb")
_SCRIPT = r"""#!/bin/sh
folder=$(readlink -f '@FOLDER@')  # a tool of a run before, whose module was killed, goes on with its own
tool='@BIN@'/${0##*/}
case " $* $PGAPPNAME" in *" --version "*|*" ") exec "$tool" "$@" ;; esac  # what no session of ours is for
input=/dev/null
more=
case " $* " in *" -f - "*)
  input=$folder/$$.input
  : >"$input"
  while IFS= read -r line || [ -n "$line" ]; do
    printf '%s\n' "$line" >>"$input"
    case $line in '\echo ready') more=1; break ;; esac  # this one stays until its input ends
  done ;;
esac
# Two sessions make the swap. Their calls are counted in one order, or a number would mean one of them or the other.
if grep -q 'ALLOW_CONNECTIONS false' "$input"; then
  for _ in 1 2 3 4 5 6 7 8 9 10; do
    grep -qs 'pg_terminate_backend' "$folder"/*/argv && break
    sleep 0.1
  done
fi
n=1
while ! mkdir "$folder/$n" 2>/dev/null; do n=$((n + 1)); done
[ "$input" = /dev/null ] || { mv "$input" "$folder/$n/input"; input=$folder/$n/input; }
echo "${0##*/} $*" >"$folder/$n/argv"
read -r point fault lines <"$folder/fault" || point=0
if [ "$n" = "$point" ]; then
  case $fault in
    refused) echo "error: refused on purpose" >&2; exit 2 ;;
    lost) "$tool" "$@" <"$input" >/dev/null 2>&1; echo "server closed the connection unexpectedly" >&2; exit 2 ;;
    term) kill -TERM $PPID ;;
    kill) kill -KILL $PPID ;;
    stay) : >"$folder/stays"; while [ ! -e "$folder/go" ]; do sleep 0.05; done ;;
    cut) head -n "$lines" "$input" >"$input.cut"
         echo 'SELECT pg_terminate_backend(pg_backend_pid());' >>"$input.cut"; input=$input.cut ;;
  esac
fi
[ -z "$more" ] || { { cat "$input" -; } | "$tool" "$@"; exit; }
exec "$tool" "$@" <"$input"
"""


class FaultyTools:
    """The tools of ``bin_dir`` behind scripts in ``folder``; ``path`` is a PATH with them first."""

    def __init__(self, folder: Path, bin_dir: Path) -> None:
        self.path = f"{folder / 'bin'}:/usr/bin:/bin"
        self._calls = folder / "calls"
        self._runs = itertools.count(1)
        (folder / "bin").mkdir(parents=True)
        text = _SCRIPT.replace("@FOLDER@", str(self._calls)).replace("@BIN@", str(bin_dir))
        for tool in _TOOLS:
            script = folder / "bin" / tool
            script.write_text(text, encoding="utf-8")
            script.chmod(0o755)
        self.at(0)

    def at(self, point: int, fault: str = "", lines: int = 0) -> None:
        """Forget the calls so far, and let call number ``point`` go wrong; 0 is none."""
        calls = self._calls.with_name(f"calls-{next(self._runs)}")
        calls.mkdir()
        (calls / "fault").write_text(f"{point} {fault} {lines}\n", encoding="utf-8")
        self._calls.unlink(missing_ok=True)
        self._calls.symlink_to(calls)

    def calls(self) -> list[str]:
        """What was called, in order: the arguments, and the input where there was one."""
        numbers = sorted(int(path.name) for path in self._calls.iterdir() if path.name.isdigit())
        return [self._told(self._calls / str(number)) for number in numbers]

    @staticmethod
    def _told(call: Path) -> str:
        parts = [call / "argv", call / "input"]
        return "".join(part.read_text(encoding="utf-8") for part in parts if part.exists())


class ContainerFaultyTools:
    """The same inside a container. A tool there cannot signal the module: at the fault ``stay`` it waits instead.

    :meth:`stays` says that it does, and :meth:`go` lets it go on.
    """

    _FOLDER = "/tmp/faults"

    def __init__(self, server: PostgresContainer) -> None:
        self._server = server
        self._runs = itertools.count(1)
        bin_dir = "/usr/lib/postgresql/" + self._shell('echo "$PG_MAJOR"').strip() + "/bin"
        text = _SCRIPT.replace("@FOLDER@", self._FOLDER).replace("@BIN@", bin_dir)
        for tool in _TOOLS:  # in the folder that comes first on PATH
            self._shell('printf %s "$1" >"$2" && chmod 755 "$2"', text, "/usr/local/sbin/" + tool)
        self.at(0)

    def at(self, point: int, fault: str = "", lines: int = 0) -> None:
        script = 'mkdir "$1" && echo "$2" >"$1/fault" && ln -sfn "$1" "$3"'
        self._shell(script, f"{self._FOLDER}-{next(self._runs)}", f"{point} {fault} {lines}", self._FOLDER)

    def calls(self) -> list[str]:
        script = r'cd "$1"; n=1; while [ -d $n ]; do cat $n/argv $n/input 2>/dev/null; printf "\0"; n=$((n + 1)); done'
        return self._shell(script, self._FOLDER).split("\0")[:-1]

    def stays(self) -> bool:
        return self._shell('[ ! -e "$1/stays" ] || echo yes', self._FOLDER) != ""

    def go(self) -> None:
        self._shell(': >"$1/go"', self._FOLDER)

    def _shell(self, script: str, *args: str) -> str:
        return self._server.shell("sh", "-c", script, "sh", *args)
