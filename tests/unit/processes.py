# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Code of the tests that must run in a process of its own, or as somebody else."""

from __future__ import annotations

import multiprocessing
import os
import warnings
from multiprocessing.context import ForkProcess
from typing import Any, Callable, Tuple

from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError

__all__ = ["as_nobody", "start"]

_FORK = multiprocessing.get_context("fork")


def start(function: Callable[[], None]) -> ForkProcess:
    """A child of ours that runs ``function``."""
    process = _FORK.Process(target=function)
    with warnings.catch_warnings():
        # Whether other tests of this process have left threads behind is no concern of the child's.
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()
    return process


def as_nobody(function: Callable[..., Any], *args: Any) -> Tuple[str, str]:
    """The code and the sentence of the error that ``function`` raises for a user without rights; empty for none."""
    receiver, sender = _FORK.Pipe(duplex=False)

    def child() -> None:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        try:
            function(*args)
        except BackupError as error:
            sender.send((error.code, error.what))
        else:
            sender.send(("", ""))

    start(child).join()
    assert receiver.poll(), "the child died"
    outcome: Tuple[str, str] = receiver.recv()
    return outcome
