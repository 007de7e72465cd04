# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Dict, Iterator

import jsonschema
import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils import _manifest
from ansible_collections.pgfleet.backup.plugins.module_utils._layout import new_set_id
from ansible_collections.pgfleet.backup.plugins.module_utils._signing import SigningKey
from ansible_collections.pgfleet.backup.tests.unit.manifests import NOON, make_manifest, write_set

PATH = os.path.join(os.path.dirname(__file__), "..", "..", "docs", "schemas", "manifest-1.json")


@pytest.fixture(scope="module")
def schema() -> Dict[str, Any]:
    with open(PATH, encoding="utf-8") as file:
        loaded: Dict[str, Any] = json.load(file)
    return loaded


@pytest.fixture(scope="module")
def validator(schema: Dict[str, Any]) -> Any:
    return jsonschema.Draft202012Validator(schema)


def readable(manifest: Dict[str, Any]) -> bool:
    try:
        _manifest.check_manifest(manifest)
    except ValueError:
        return False
    return True


def objects_in(part: Any) -> Iterator[Dict[str, Any]]:
    if isinstance(part, dict):
        if "properties" in part:
            yield part
        for inner in part.values():
            yield from objects_in(inner)


def test_the_schema_is_one_and_describes_every_field(schema: Dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["additionalProperties"] is False
    for part in objects_in(schema):
        for name, field in part["properties"].items():
            assert field.get("description", "").endswith((".", "=value")), name


def test_schema_and_reader_know_the_same_keys(schema: Dict[str, Any]) -> None:
    assert sorted(schema["required"]) == sorted(_manifest._KEYS)
    assert sorted(schema["properties"]) == sorted({*_manifest._KEYS, *_manifest._OPTIONAL})
    assert schema["properties"]["kind"]["enum"] == list(_manifest.KINDS)
    assert schema["properties"]["status"]["enum"] == list(_manifest.STATUSES)
    assert schema["properties"]["schema_version"]["const"] == _manifest.SCHEMA_VERSION
    verification = schema["properties"]["verification"]["properties"]
    assert verification["level"]["enum"] == list(_manifest.LEVELS)
    assert verification["result"]["enum"] == list(_manifest.RESULTS)


NULLABLE = [
    "filters", "label", "machine_id", "host", "port", "container", "system_identifier", "encoding", "locale_provider",
    "collation_version", "database_bytes", "fingerprint", "database_properties", "signature",
]
GOOD = [
    {},
    dict.fromkeys(NULLABLE),
    {"kind": "filtered", "filters": {"schemas": ["a"], "schema_only": True}},
    {"kind": "globals", "database": "@globals", "format": "sql", "compression": "none"},
    {"database": "a\nb"},
    {"encryption": None},
    {"encryption": {"method": "age", "recipients": ["age1xyz"]}},
    {"database": "größe/.."},
    {"files": [{"path": path, "size": 0, "sha256": "0" * 64} for path in ("database/blobs_1.toc", "a b\nc", ".x", "..x/y")]},
    {"verification": {"level": "none", "result": "none", "seconds": 0}, "status": "suspicious"},
    {"signature": {"algorithm": "hmac-sha256", "key_id": "0" * 16, "value": "0" * 64}},
]
BAD = [
    {"schema_version": 2}, {"schema_version": 0}, {"schema_version": "1"}, {"sequence": 0}, {"sequence": True},
    {"kind": "all"}, {"status": "fresh"}, {"created": "2026-11-21 23:15:00"}, {"finished": "2026-11-21T23:15:00"},
    {"files": []}, {"files": [{"path": "x", "size": 1}]}, {"files": [{"path": "x", "size": "1", "sha256": "0" * 64}]},
    *({"files": [{"path": path, "size": 1, "sha256": "0" * 64}]}
      for path in ["", "/x", "..", "../x", "a/../b", "a\n/../b", "a//b", "a/", "./a", "a/.", "a\0"]),
    {"instance": ""}, {"database": ""}, {"verification": {"level": "full", "result": "ok", "seconds": 1}},
    {"verification": {"level": "archive", "result": "bad", "seconds": 1}},
    {"signature": "0" * 64}, {"signature": {}}, {"signature": {"algorithm": "hmac-sha256", "key_id": "0" * 16}},
    {"signature": {"algorithm": "hmac-sha256", "key_id": "0" * 16, "value": None}},
]


@pytest.mark.parametrize("changes", GOOD)
def test_good_manifests(validator: Any, changes: Dict[str, Any]) -> None:
    manifest = make_manifest(**changes)
    assert [error.message for error in validator.iter_errors(manifest)] == []
    assert readable(manifest)


@pytest.mark.parametrize("changes", BAD)
def test_bad_manifests(validator: Any, changes: Dict[str, Any]) -> None:
    manifest = make_manifest(**changes)
    assert not validator.is_valid(manifest)
    assert not readable(manifest)


@pytest.mark.parametrize("key", sorted(make_manifest()))
@pytest.mark.parametrize("value", [None, True, 1, 1.5, "text", [], {}])
def test_schema_and_reader_agree_on_types(validator: Any, key: str, value: Any) -> None:
    """The reader may pass what the schema refuses in depth, never the other way round."""
    manifest = make_manifest(**{key: value})
    if validator.is_valid(manifest):
        assert readable(manifest)
    if not isinstance(value, str) and not readable(manifest):
        assert not validator.is_valid(manifest)
    json_types = validator.schema["properties"][key].get("type", [])
    right_type = validator.evolve(schema={"type": json_types}).is_valid(value) if json_types else False
    if json_types and not right_type:
        assert not readable(manifest)


@pytest.mark.parametrize("key", sorted(make_manifest()))
def test_every_key_is_required(validator: Any, key: str) -> None:
    manifest = make_manifest()
    del manifest[key]
    assert not validator.is_valid(manifest)
    assert not readable(manifest)


def test_unknown_keys_are_refused_by_the_schema_and_passed_over_by_the_reader(validator: Any) -> None:
    manifest = make_manifest(flavour="vanilla")
    assert not validator.is_valid(manifest)
    assert readable(manifest)


@pytest.mark.parametrize("key", ["mode", "executor", "transport", "format", "credential_source", "compression", "id"])
def test_closed_values(validator: Any, key: str) -> None:
    assert not validator.is_valid(make_manifest(**{key: "something else"}))


def test_what_is_published_is_valid(validator: Any, tmp_path: Path) -> None:
    for key in (None, SigningKey("a key of the tests")):
        backup = write_set(tmp_path, id=new_set_id(NOON), key=key)
        assert [error.message for error in validator.iter_errors(backup.manifest)] == []


def test_times_are_written_in_utc_to_the_second_and_come_back() -> None:
    moment = datetime(2026, 11, 22, 0, 15, 0, 999, tzinfo=timezone(timedelta(hours=1)))
    assert _manifest.format_time(moment) == "2026-11-21T23:15:00Z"
    assert _manifest.parse_time("2026-11-21T23:15:00Z") == moment.replace(microsecond=0)
