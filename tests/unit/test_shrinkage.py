# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils._log import Redactor, RunLog
from ansible_collections.pgfleet.backup.plugins.module_utils._shrinkage import judged, shrinkage, suspicion
from ansible_collections.pgfleet.backup.tests.unit.manifests import FAILED, UNTRIED, make_manifest, make_set

MIB = 1 << 20


def holding(tables: dict[str, int] | None = None, *, large: int = 0, size: int = 10, **more: Any) -> dict[str, Any]:
    """What is about such a database in a manifest; tables None means that it was not counted."""
    counted = None if tables is None else {"tables": tables, "sequences": {}, "large_objects": large, "objects": {}}
    return {"fingerprint": counted, "files": [{"path": "database.dump", "size": size, "sha256": "ab" * 32}], **more}


def found(now: dict[str, Any], before: dict[str, Any]) -> list[str]:
    return shrinkage(make_manifest(**now), make_manifest(**before))


EVEN = {f"t{number}": 500 for number in range(8)}


@pytest.mark.parametrize(("now", "before", "says"), [
    (holding({"a": 0, "b": 0}), holding({"a": 1, "b": 0}), ["0 rows, and 1 before"]),
    (holding({}), holding({"a": 0}), ["0 tables, and 1 before"]),
    (holding({"a": 499, "b": 0}), holding({"a": 900, "b": 100}), ["499 rows, and 1,000 before"]),
    (holding({"a": 2000}), holding({"a": 1997, "b": 1, "c": 1, "d": 1}), ["1 tables, and 4 before"]),
    (holding({"a": 5}, large=49), holding({"a": 5}, large=100), ["49 large objects, and 100 before"]),
    (holding({"a": 3000, "b": 0}), holding({"a": 3000, "b": 1000}), ["b is empty, and had 1,000 rows"]),
    (holding({"a": 5}, size=MIB), holding({"a": 5}, size=2 * MIB + 1), ["1.0 MiB, and 2.0 MiB before"]),
    (holding(None, size=1), holding({"a": 5000}, size=MIB), ["1 bytes, and 1.0 MiB before"]),
])
def test_a_collapse_is_told_with_its_numbers(now: dict[str, Any], before: dict[str, Any], says: list[str]) -> None:
    assert found(now, before) == says


@pytest.mark.parametrize(("now", "before"), [
    (holding({"a": 500, "b": 0}), holding({"a": 900, "b": 100})),
    (holding({"a": 1}), holding({"a": 999})),
    (holding({"a": 0, "b": 1}), holding({"a": 998, "b": 1})),
    (holding({"a": 2000}), holding({"a": 1000, "b": 500, "c": 500})),
    (holding({"a": 5}, large=0), holding({"a": 5}, large=99)),
    (holding({"a": 3001, "b": 0}), holding({"a": 3001, "b": 1000})),
    (holding({"a": 3000, "new": 0}), holding({"a": 3000, "gone": 1000})),
    (holding({"a": 5}, size=MIB), holding({"a": 5}, size=2 * MIB)),
    (holding({"a": 5}, size=1), holding({"a": 5}, size=MIB - 1)),
    (holding({"a": 5}, size=1), holding({"a": 5}, size=MIB, compression="none")),
    (holding({"a": 5}, size=1), holding({"a": 5}, size=MIB, format="custom")),
    (holding(None), holding({"a": 5000})),
    (holding({"a": 0}), holding(None)),
    (holding({}), holding({})),
    (holding({**EVEN, "t0": 0}), holding(EVEN)),
    (holding({"a": 10 ** 9}, size=10 ** 12), holding({"a": 1})),
])
def test_what_is_no_collapse(now: dict[str, Any], before: dict[str, Any]) -> None:
    assert found(now, before) == []


GOOD = holding({"a": 5000})
EMPTIED = holding({"a": 0})


def judge(sets: list[Any], *, accept: bool = False, **new: Any) -> tuple[str, list[str], list[str]]:
    log = RunLog(Redactor())
    manifest = make_manifest(**{**EMPTIED, "sequence": 9, "warnings": ["of the dump"], **new})
    files = manifest.pop("files")
    after = judged(manifest, files, sets, accept=accept, log=log)
    return after["status"], after["warnings"], log.warnings


def test_it_is_compared_with_the_newest_verified_set_of_its_kind() -> None:
    older = [
        make_set(sequence=1, **GOOD),
        make_set(sequence=2, **EMPTIED, status="suspicious"),
        make_set(sequence=3, **EMPTIED, verification=UNTRIED),
        make_set(sequence=4, **EMPTIED, verification=FAILED),
        make_set(sequence=5, **EMPTIED, kind="filtered", filters={"schema_only": True}),
        make_set(sequence=6, **EMPTIED, kind="safety"),
        make_set(sequence=7, **EMPTIED, database="other"),
    ]
    status, warnings, told = judge(older)
    assert status == "suspicious"
    assert warnings == ["of the dump", *told]
    assert told == [f"BACKUP_SUSPICIOUS: shop has shrunk since the backup {older[0].id}: 0 rows, and 5,000 before"]
    assert judge([*older, make_set(sequence=8, **EMPTIED)]) == ("ok", ["of the dump"], [])
    assert judge(older[1:])[0] == "ok", "nothing that counts is there to compare with"
    assert judge([make_set(sequence=1, **GOOD, kind="filtered", filters={"schemas": ["a"]})])[0] == "ok"


def test_what_is_about_to_be_replaced_may_be_a_wreck() -> None:
    assert judge([make_set(sequence=1, **GOOD, kind="safety")], kind="safety")[0] == "ok"
    filters = {"schemas": ["a"]}
    before = [make_set(sequence=1, **GOOD, kind="filtered", filters=filters)]
    assert judge(before, kind="filtered", filters=filters)[0] == "suspicious"


def test_what_is_accepted_counts_and_is_told() -> None:
    status, warnings, told = judge([make_set(sequence=1, **GOOD)], accept=True)
    assert status == "ok"
    assert warnings == ["of the dump", *told]
    assert told[0].endswith("0 rows, and 5,000 before; accepted, since accept_shrinkage is set")
    assert not told[0].startswith("BACKUP_SUSPICIOUS")
    assert judge([], accept=True) == ("ok", ["of the dump"], [])


def test_a_failure_says_the_numbers_and_brings_the_set_along() -> None:
    error = suspicion(make_set(status="suspicious", warnings=["of the dump", "BACKUP_SUSPICIOUS: shop has shrunk"]))
    assert error.msg == "BACKUP_SUSPICIOUS: shop has shrunk"
    assert "accept_shrinkage" in error.hint
    assert error.result["published"]["status"] == "suspicious"
    assert error.result["published"]["changed"]
