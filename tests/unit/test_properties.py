# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils._properties import (
    apply_statements,
    create_statement,
    read_properties,
)

ANSWER: dict[str, Any] = {
    "row": {"datname": "shop", "datlocprovider": "c", "datcollate": "C.UTF-8", "datctype": "C", "datconnlimit": 5},
    "owner": "shop", "encoding": "UTF8", "tablespace": "pg_default", "acl": None, "comment": None, "settings": [],
    "security_labels": [],
}


def answer(row: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {**ANSWER, **more, "row": {**ANSWER["row"], **(row or {})}}


def created(major: int, row: dict[str, Any] | None = None, **more: Any) -> str:
    statement = create_statement("new", read_properties(answer(row, **more)), server_major=major)
    prefix = "CREATE DATABASE \"new\" TEMPLATE template0 ENCODING '{0}' ".format(more.get("encoding", "UTF8"))
    assert statement.startswith(prefix)
    return statement[len(prefix):]


def applied(**more: Any) -> list[str]:
    limit = more.pop("limit", -1)
    return apply_statements("new", read_properties(answer({"datconnlimit": limit}, **more)))


def test_what_is_read() -> None:
    assert read_properties(answer()) == {
        "owner": "shop", "encoding": "UTF8", "locale_provider": "libc", "collate": "C.UTF-8", "ctype": "C",
        "locale": None,
        "icu_rules": None, "tablespace": "pg_default", "connection_limit": 5, "acl": None, "comment": None,
        "settings": [],
        "security_labels": [],
    }


@pytest.mark.parametrize(("row", "provider", "locale"), [
    ({}, "libc", None),
    ({"datlocprovider": "i", "daticulocale": "de-DE"}, "icu", "de-DE"),  # 15 and 16
    ({"datlocprovider": "i", "datlocale": "de-DE"}, "icu", "de-DE"),  # from 17 on
    ({"datlocprovider": "b", "datlocale": "C.UTF-8"}, "builtin", "C.UTF-8"),
])
def test_columns_of_every_version(row: dict[str, Any], provider: str, locale: str | None) -> None:
    properties = read_properties(answer(row))
    assert (properties["locale_provider"], properties["locale"]) == (provider, locale)
    old = answer(row)
    del old["row"]["datlocprovider"]
    assert read_properties(old)["locale_provider"] == "libc"


@pytest.mark.parametrize(("major", "row", "words"), [
    (14, {}, "LC_COLLATE 'C.UTF-8' LC_CTYPE 'C'"),
    (15, {}, "LOCALE_PROVIDER libc LC_COLLATE 'C.UTF-8' LC_CTYPE 'C'"),
    (16, {"datlocprovider": "i", "daticulocale": "de", "daticurules": "&a<b"},
     "LOCALE_PROVIDER icu LC_COLLATE 'C.UTF-8' LC_CTYPE 'C' ICU_LOCALE 'de' ICU_RULES '&a<b'"),
    (17, {"datlocprovider": "b", "datlocale": "C.UTF-8"},
     "LOCALE_PROVIDER builtin LC_COLLATE 'C.UTF-8' LC_CTYPE 'C' BUILTIN_LOCALE 'C.UTF-8'"),
    (17, {"datcollate": None, "datctype": ""}, "LOCALE_PROVIDER libc"),
])
def test_the_statement_of_each_provider_and_version(major: int, row: dict[str, Any], words: str) -> None:
    assert created(major, row) == words


def test_tablespaces_and_encodings() -> None:
    assert created(14, tablespace="fa st", encoding="LATIN1").endswith(" TABLESPACE \"fa st\"")
    assert "TABLESPACE" not in created(14)


def test_a_dump_without_properties() -> None:
    assert create_statement('we"ird', None, server_major=17) == 'CREATE DATABASE "we""ird" TEMPLATE template0'


def test_nothing_but_the_owner() -> None:
    assert applied() == ['ALTER DATABASE "new" OWNER TO "shop"']


def test_everything_in_order() -> None:
    assert applied(
        limit=0, comment="it's", settings=[
            {"role": None, "setting": "work_mem=64MB"}, {"role": "app", "setting": 'search_path=""'},
        ], security_labels=[{"provider": "selinux", "label": "x"}], acl=[
            {"grantor": "shop", "grantee": None, "privilege": "CONNECT", "grantable": False},
            {"grantor": "shop", "grantee": "re ad", "privilege": "TEMPORARY", "grantable": True},
        ],
    ) == [
        "COMMENT ON DATABASE \"new\" IS 'it''s'",
        'ALTER DATABASE "new" CONNECTION LIMIT 0',
        "ALTER DATABASE \"new\" SET \"work_mem\" TO '64MB'",
        'ALTER ROLE "app" IN DATABASE "new" SET "search_path" TO \'\'',
        "SECURITY LABEL FOR \"selinux\" ON DATABASE \"new\" IS 'x'",
        'ALTER DATABASE "new" OWNER TO "shop"',
        'REVOKE ALL ON DATABASE "new" FROM PUBLIC, "shop"',
        'GRANT CONNECT ON DATABASE "new" TO PUBLIC',
        'GRANT TEMPORARY ON DATABASE "new" TO "re ad" WITH GRANT OPTION',
    ]


def test_an_empty_acl_is_not_the_default_one() -> None:
    assert applied(acl=[])[1:] == ['REVOKE ALL ON DATABASE "new" FROM PUBLIC, "shop"']
