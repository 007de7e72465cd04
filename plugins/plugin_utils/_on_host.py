# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running a command on a managed host from an action, as the user that the task becomes there."""

from __future__ import annotations

import shlex
from typing import Any, Tuple

from ansible import constants
from ansible.plugins.action import ActionBase

__all__ = ["run_on_host"]


def run_on_host(action: ActionBase, connection: Any, command: str, stdin: bytes) -> Tuple[int, bytes, bytes]:
    """Exit status, output and error output of a shell command.

    It is what ActionBase does, but without making text of bytes, and over the connection that is given. Raises
    AnsibleError when the host cannot be reached, or not become.
    """
    shell = connection._shell  # noqa: SLF001  # Ansible gives it no other name
    user, become_user = action._get_remote_user(), action.get_become_option("become_user")  # noqa: SLF001
    if connection.become and (
        constants.BECOME_ALLOW_SAME_USER or become_user != user or not any((user, become_user))
    ):
        command = connection.become.build_become_command(command, shell)
    executable = action._play_context.executable  # noqa: SLF001
    if connection.allow_executable and executable:
        # The sleep lets ssh deliver the end of the output before it closes.
        command = shell.append_command(command, "sleep 0")
        command = "{0} -c {1}".format(executable, shlex.quote(command))
    status, output, errors = connection.exec_command(command, in_data=stdin, sudoable=True)
    return status or 0, bytes(output), bytes(errors)
