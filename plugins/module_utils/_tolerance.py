# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages of a restore: the short list of those that are harmless, each with its reason; any other ends it.

An exit status says neither: ``pg_restore`` ends with 1 for a setting that an older server does not know, and for a
table that is missing. The words of the tools are English, those of the server need not be: so nothing of the list
relies on them alone.
"""

from __future__ import annotations

import re
from typing import Callable, List, NamedTuple, NoReturn

from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._script import ALL_SETTINGS
from ansible_collections.pgfleet.backup.plugins.module_utils._stderr import classify

__all__ = ["Tolerance"]


class _Harmless(NamedTuple):
    """An error of pg_restore's that does no harm: its message, and the command it must have been about."""

    message: str
    command: str
    reason: str


_UNKNOWN_SETTING = "a setting of the dump that this older server does not know"
_HARMLESS = (
    _Harmless(
        # In whatever language, the setting's name ends the sentence.
        r"could not execute query: .*\W(?:{0})\W*$".format("|".join(ALL_SETTINGS)),
        r"SET (?:{0}) = ".format("|".join(ALL_SETTINGS)),
        _UNKNOWN_SETTING,
    ),
    _Harmless(
        r"could not execute query: .*\Wplpgsql\W*$",
        r"COMMENT ON EXTENSION plpgsql IS ",
        "a comment on an extension that every server has already",
    ),
)
# A server's warning says that the statement was carried out; but these say that a part of it was not.
_NOT_DONE = re.compile(r" 0100[67]: |no privileges (?:were granted|could be revoked)|not all privileges ")
_WARNING_REASON = "a warning of the server's: the statement was carried out"

_PG_RESTORE_ERROR = re.compile(r"^pg_restore: (?:error|fatal|\[.*\])|^pg_restore: .*(?:ERROR|FATAL|PANIC):  ")
_PSQL_ERROR = re.compile(r"^psql:(?:<stdin>:[0-9]+:)? +(?:error|ERROR|FATAL|PANIC):")
_TOOL_WARNING = re.compile(r"^pg_restore: warning: ")
_SUM = re.compile(r"^pg_restore: warning: errors ignored on restore: ")
# "WARNING:  text" of a server that speaks any language, by psql with its SQLSTATE. pg_dump asks for no notices.
_SERVER = re.compile(r"^(?:pg_restore|psql|psql:<stdin>:[0-9]+): (?P<word>[^\s:]+):  (?P<state>[0-9A-Z]{5}: )?")
_NOTICE_WORDS = ("NOTICE", "INFO", "LOG", "DEBUG")
# What belongs to the message before it, though it begins like one.
_GOES_ON = re.compile(r"^psql:<stdin>:[0-9]+: (?:STATEMENT|DETAIL|HINT|CONTEXT|LOCATION|QUERY):  ")
_FAILED_STATEMENT = re.compile(r"^psql:<stdin>:[0-9]+: STATEMENT:  ")
_MAX_LINES = 40
# A statement that failed may hold a password of somebody else's: of a subscription, or of a foreign server's user.
_SECRET = re.compile(r"(?i)(password\"?\s+(?=')|password\s*=\s*)('(?:[^']|'')*'|[^\s';]+)")


class Tolerance:
    """Judges each line of stderr as it comes; ``tolerated`` holds the harmless ones with their reasons.

    The first message that is not harmless raises ``BackupError`` as soon as its own lines have come, or when the tool
    ends (:meth:`finish`). Its lines go to ``log``: the statement that failed, and where.
    """

    def __init__(self, log: Callable[[str], None]) -> None:
        self.tolerated: List[str] = []
        self._log = log
        self._where: List[str] = []  # what pg_restore says of the object, in front of its error
        self._message: List[str] = []
        self._bad = False

    def __call__(self, line: str) -> None:
        if line.startswith(("pg_restore: ", "psql:")) and not _GOES_ON.match(line):
            self._next(line)
            return
        if len(self._message) < _MAX_LINES:
            self._message.append(line)
        if line.startswith("Command was: "):
            # Of several jobs the lines may mix; every message must be harmless, and so must every command.
            if not any(re.match(each.command, line[len("Command was: "):]) for each in _HARMLESS):
                self._bad = True
                self._fail()
        elif _FAILED_STATEMENT.match(line):
            self._bad = True  # psql ends by itself
        elif self._bad and line.startswith("CONTEXT:") and self._message[0].startswith("pg_restore: "):
            self._fail()

    def left_out(self, setting: str) -> None:
        """``SET`` of that setting was taken out of a script, which would have ended there."""
        self._tolerate("SET {0} is left out".format(setting), _UNKNOWN_SETTING)

    def finish(self) -> None:
        """The tool has ended. Raises for a message that was still coming."""
        if self._bad:
            self._fail()

    def _next(self, line: str) -> None:
        if self._bad:
            self._fail()
        if re.match(r"^pg_restore: (?:while|from) ", line):
            self._where = [*self._where[-1:], line]
            return
        self._message = [line]
        if _PG_RESTORE_ERROR.match(line):
            harmless = [each for each in _HARMLESS if re.search(each.message, line)]
            self._bad = not harmless
            if harmless:
                self._tolerate(line, harmless[0].reason)
        elif _PSQL_ERROR.match(line):
            self._bad = True
        elif _TOOL_WARNING.match(line):
            self._bad = not _SUM.match(line)
        else:
            self._server_message(line)

    def _server_message(self, line: str) -> None:
        match = _SERVER.match(line)
        if match is None or match.group("word") in _NOTICE_WORDS or match.group("state") == "00000: ":
            return
        self._bad = bool(_NOT_DONE.search(line))
        if not self._bad:
            self._tolerate(line, _WARNING_REASON)

    def _tolerate(self, line: str, reason: str) -> None:
        self.tolerated.append("{0} ({1})".format(line, reason))

    def _fail(self) -> NoReturn:
        lines = [*self._where, *self._message]
        self._bad = False
        for line in lines:
            self._log(_SECRET.sub(r"\1***", line))
        head = self._message[0]
        detail = next((line for line in self._message[1:] if line.startswith("DETAIL:")), "")
        head, detail = _SECRET.sub(r"\1***", head), _SECRET.sub(r"\1***", detail)
        what = "{0} ({1})".format(head, detail[len("DETAIL:"):].strip()) if detail else head
        raise BackupError(classify("\n".join(self._message), default="RESTORE_FAILED"), what)
