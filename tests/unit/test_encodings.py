# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils._encodings import shared_text


@pytest.mark.parametrize(("encoding", "read", "meant"), [
    ("LATIN1", "RÃ¶le", "Röle"),  # written by a session in a UTF8 database
    ("LATIN1", "Röle", "Röle"),  # written by one in a LATIN1 database
    ("WIN1252", "â‚¬", "€"),
    ("LATIN1", "表", "表"),  # not of that encoding at all
    ("UTF8", "RÃ¶le", "RÃ¶le"),
    ("SQL_ASCII", "Röle", "Röle"),
    ("LATIN1", None, None),
])
def test_what_the_cluster_shares_is_read_as_utf8(encoding: str, read: Any, meant: Any) -> None:
    assert shared_text(read, encoding) == meant
    assert shared_text([{"row": {read: [read, 7]}}], encoding) == [{"row": {meant: [meant, 7]}}]
