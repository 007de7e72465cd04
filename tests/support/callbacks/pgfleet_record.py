# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""An Ansible callback that writes every task's result to the file ``PGFLEET_RECORD``, one JSON object a line.

Beside the ordinary output, not instead of it: tests look at both.
"""

from __future__ import annotations

import json
import os
from typing import Any

from ansible.plugins.callback import CallbackBase


class CallbackModule(CallbackBase):  # type: ignore[misc]
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "pgfleet_record"
    CALLBACK_NEEDS_ENABLED = False

    def _record(self, status: str, outcome: Any) -> None:
        target = os.environ.get("PGFLEET_RECORD")
        if not target:
            return
        line = {
            "host": str(outcome.host),
            "task": str(outcome.task.get_name()),
            "status": status,
            "result": dict(outcome.result),
        }
        with open(target, "a", encoding="utf-8") as file:
            file.write(json.dumps(line, default=str) + "\n")

    def v2_runner_on_ok(self, result: Any) -> None:
        self._record("ok", result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._record("ignored" if ignore_errors else "failed", result)

    def v2_runner_on_skipped(self, result: Any) -> None:
        self._record("skipped", result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._record("unreachable", result)
