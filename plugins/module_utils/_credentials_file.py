# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The persisted credentials file: ``KEY=value`` lines with shell-style quoting that round-trips every password."""

from __future__ import annotations

import os
import re
import shlex
import tempfile
from typing import Dict, List, Mapping, Tuple

from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError

__all__ = ["format_variables", "parse_variables", "read_credentials", "write_credentials"]

_KEY = re.compile(r"[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)=")
_MAX_BYTES = 64 * 1024


def parse_variables(text: str) -> Dict[str, str]:
    """Parse ``KEY=value`` lines. Raises ``ValueError`` that names the line, never its content."""
    variables: Dict[str, str] = {}
    position = 0
    while position < len(text):
        end = text.find("\n", position)
        end = len(text) if end < 0 else end
        line = text[position:end]
        if not line.strip() or line.lstrip().startswith("#"):
            position = end + 1
            continue
        number = text.count("\n", 0, position) + 1
        match = _KEY.match(text, position)
        if not match:
            raise ValueError("line {0} is not KEY=value".format(number))
        variables[match.group(1)], position = _parse_value(text, match.end(), number)
    return variables


def _parse_value(text: str, position: int, number: int) -> Tuple[str, int]:
    """The value that starts at ``position`` by the shell's rules, and the position after its line."""
    value = []
    while position < len(text):
        char = text[position]
        if char in "\n\r":
            break
        if char in " \t":
            rest, _newline, _after = text[position:].partition("\n")
            if rest.strip() and not rest.lstrip().startswith("#"):
                raise ValueError("line {0} has a space outside quotes".format(number))
            position += len(rest)
            break
        if char == "'":
            end = text.find("'", position + 1)
            if end < 0:
                raise ValueError("line {0} opens a quote that never closes".format(number))
            value.append(text[position + 1 : end])
            position = end + 1
        elif char == '"':
            part, position = _parse_double_quoted(text, position + 1, number)
            value.append(part)
        elif char == "\\" and position + 1 < len(text):
            value.append(text[position + 1])
            position += 2
        else:
            value.append(char)
            position += 1
    if text[position : position + 2] == "\r\n":
        position += 1
    return "".join(value), position + 1


def _parse_double_quoted(text: str, position: int, number: int) -> Tuple[str, int]:
    value: List[str] = []
    while position < len(text):
        char = text[position]
        if char == '"':
            return "".join(value), position + 1
        if char == "\\" and text[position + 1 : position + 2] in ('"', "\\", "$", "`"):
            position += 1
            char = text[position]
        value.append(char)
        position += 1
    raise ValueError("line {0} opens a quote that never closes".format(number))


def format_variables(variables: Mapping[str, str]) -> str:
    """The text that :func:`parse_variables`, and a POSIX shell, read back as the same variables."""
    return "".join("{0}={1}\n".format(key, shlex.quote(value)) for key, value in variables.items())


def read_credentials(path: str) -> Dict[str, str]:
    """The variables of a credentials file. Raises ``FileNotFoundError``, and ``INVALID_DB_CONFIG`` when unusable."""
    try:
        with open(path, "rb") as file:
            content = file.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise ValueError("it is larger than {0} bytes".format(_MAX_BYTES))
        return parse_variables(content.decode("utf-8"))
    except FileNotFoundError:
        raise
    except UnicodeDecodeError as error:
        # The exception's own text quotes bytes of the file.
        raise _unusable(path, "it is not UTF-8 text") from error
    except ValueError as error:
        raise _unusable(path, str(error)) from error
    except OSError as error:
        raise _unusable(path, error.strerror or "it cannot be read") from error


def write_credentials(path: str, variables: Mapping[str, str]) -> None:
    """Write a credentials file atomically, 0600 in a folder that is 0700 when it had to be made."""
    folder = os.path.dirname(os.path.abspath(path))
    try:
        if not os.path.isdir(folder):
            os.makedirs(folder, mode=0o700)
            os.chmod(folder, 0o700)
        handle, temporary = tempfile.mkstemp(prefix=".credentials-", dir=folder)
        try:
            os.fchmod(handle, 0o600)  # whatever the umask
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write("# Written by pgfleet.backup after a successful backup.\n")
                file.write(format_variables(variables))
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise BackupError(
            "BACKUP_DIR_UNUSABLE",
            "the credentials file {0} cannot be written: {1}".format(path, error.strerror),
            hint="Set credentials_file to a place where the task's user may write, or persist_credentials=false.",
        ) from error


def _unusable(path: str, why: str) -> BackupError:
    return BackupError(
        "INVALID_DB_CONFIG",
        "the credentials file {0} cannot be used: {1}".format(path, why),
        hint="Give it readable KEY=value lines with shell-style quotes, or remove it.",
    )
