# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page and the metrics: whole, safe against what others wrote, and small."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils._report_charts import (
    area_chart,
    gauge,
    share_bar,
    sparkline,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._report_html import to_html
from ansible_collections.pgfleet.backup.plugins.module_utils._report_metrics import to_metrics
from ansible_collections.pgfleet.backup.plugins.module_utils._report_model import epoch
from ansible_collections.pgfleet.backup.plugins.module_utils._report_words import html_text, size_text, span_text
from ansible_collections.pgfleet.backup.tests.support.fleets import (
    NOW,
    ago,
    copies,
    fragment,
    healthy,
    host,
    large,
    made,
    troubled,
)
from ansible_collections.pgfleet.backup.tests.unit.test_report_documents import document_of
from prometheus_client.parser import text_string_to_metric_families

FLEETS: dict[str, list[Any]] = {"healthy": [healthy()], "troubled": [troubled()], "empty": [], "broken": [troubled(), None]}
VOID = {"meta", "link", "input", "path", "rect", "use", "circle"}
HOSTILE = [
    "<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "a&b;&lt;", "'\"`{}", "back\\slash\n# TYPE x gauge\nx 1", "\x1b[31m\x00\r",
    "\u202egpj.exe", "größe/..", "\udc80\udcff", "x" * 5000, "{headline}", "%s{0}", "]]>-->",
    "a\\nb", "at the end\\",
]


class Page(HTMLParser):
    """The page as a browser reads it; every element must be closed where it ought to be."""

    def __init__(self, html: bytes) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(html.decode("utf-8"))
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self.open[-1] if self.open else "", []).append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


def hostile_fleet() -> dict[str, Any]:
    """Names and messages that somebody chose to do harm."""
    hosts = []
    for number, text in enumerate(HOSTILE):
        sets = [made(ago(days=1), instance=text, database=text), made(ago(hours=2), instance=text, database=text)]
        target = {"instance": text, "database": text, "code": text, "msg": text, "hint": text}
        hosts.append(host(f"{number}{text}", targets=[target], backups=sets, copies=copies(sets, where=text)))
    return fragment(*hosts)


# -- the page -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fleet", FLEETS)
def test_the_page_needs_nothing_else(fleet: str) -> None:
    page = Page(to_html(document_of(*FLEETS[fleet])))
    links = [value for _tag, attrs in page.tags for name, value in attrs.items() if name in ("href", "src", "action", "data", "xlink:href")]
    assert {link for link in links if not (link or "").startswith("#")} == {"data:,"}
    ids = {attrs["id"] for _tag, attrs in page.tags if "id" in attrs}
    assert {str(link)[1:] for link in links if (link or "").startswith("#")} <= ids
    assert not re.search(r"url\(|@import|https?:", "".join(page.texts["style"] + page.texts["script"]))


def test_the_policy_allows_the_pages_own_style_and_script_and_nothing_else() -> None:
    page = Page(to_html(document_of(troubled())))
    policy = next(str(attrs["content"]) for attrs in page.of("meta") if attrs.get("http-equiv") == "Content-Security-Policy")
    for kind in ("style", "script"):
        assert len(page.texts[kind]) == 1
        digest = base64.b64encode(hashlib.sha256(page.texts[kind][0].encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert not [attrs for _tag, attrs in page.tags if "style" in attrs or any(name.startswith("on") for name in attrs)]


def test_the_worst_is_on_top_and_says_why() -> None:
    page = Page(to_html(document_of(troubled())))
    assert [attrs["class"] for attrs in page.of("tbody")] == [
        "lost", "lost", "unknown", "late", "late", "failing", "unsafe", "safe", "safe", "safe"]
    assert page.texts["h1"] == ["2 databases would be lost tonight"]
    assert page.texts["code"][:4] == ["AUTH_FAILED", "NO_SPACE", "VERIFY_FAILED", "CONNECTION_FAILED"]
    assert any(text.startswith("Check login_user and login_password") for text in page.texts["span"])


def test_what_others_wrote_stays_text() -> None:
    page = Page(to_html(document_of(hostile_fleet())))
    assert len(page.of("tbody")) == len(HOSTILE)
    assert not page.of("img")
    assert len(page.of("script")) == 1
    shown = page.texts["bdi"]
    assert "<script>alert(1)</script>" in shown
    assert "\\x1b[31m\\x00\\r" in shown
    assert "\\u202egpj.exe" in shown
    assert max(map(len, shown)) < 700


def test_problems_are_shown_and_spoil_a_good_picture() -> None:
    page = Page(to_html(document_of(healthy(), None)))
    assert page.texts["h1"] == ["Not all that was reported could be read"]
    assert page.of("header")[0]["class"] == "failing"
    assert any("schema_version" in text for text in page.texts["li"])


def test_a_large_fleets_page_stays_small(monkeypatch: pytest.MonkeyPatch) -> None:
    document = document_of(*large(60, 120))
    html = to_html(document)
    assert len(html) < 12_000 + 60 * 2500
    monkeypatch.setattr("ansible_collections.pgfleet.backup.plugins.module_utils._report_html._MAX_ROWS", 25)
    page = Page(to_html(document))
    assert len(page.of("tbody")) == 25
    assert "The 25 worst are shown; " in page.texts["p"]


# -- metrics --------------------------------------------------------------------------------------------------------


def samples(metrics: bytes) -> dict[tuple[str, ...], float]:
    """Each sample by its name and label values; none may be there twice."""
    found: dict[tuple[str, ...], float] = {}
    for family in text_string_to_metric_families(metrics.decode("utf-8")):
        assert family.type == "gauge"
        assert family.documentation
        for sample in family.samples:
            key = (sample.name, *sample.labels.values())
            assert key not in found
            found[key] = sample.value
    return found


@pytest.mark.parametrize("fleet", FLEETS)
def test_prometheus_reads_the_metrics(fleet: str) -> None:
    document = document_of(*FLEETS[fleet])
    found = samples(to_metrics(document))
    assert found["pgfleet_fleet_report_timestamp_seconds",] == epoch(NOW)
    assert found["pgfleet_fleet_hosts",] == document["summary"]["hosts"]
    assert found["pgfleet_fleet_problems",] == document["summary"]["problems"]
    for risk, count in document["summary"]["risks"].items():
        assert found["pgfleet_fleet_databases", risk] == count
    assert sum(key[0] == "pgfleet_backup_within_rpo" for key in found) == len(document["rows"])


def test_the_metrics_say_what_the_report_says() -> None:
    found = samples(to_metrics(document_of(troubled())))
    wiki = ("app2.example.com", "app", "wiki")
    assert {name: found.get((f"pgfleet_{name}", *wiki)) for name in (
        "backup_last_success_timestamp_seconds", "backup_age_seconds", "backup_rpo_seconds", "backup_within_rpo", "backup_safe", "backup_failed",
    )} == {
        "backup_last_success_timestamp_seconds": epoch(NOW) - 71 * 3600, "backup_age_seconds": 71 * 3600, "backup_rpo_seconds": 26 * 3600,
        "backup_within_rpo": 0, "backup_safe": 0, "backup_failed": 1,
    }
    assert found["pgfleet_drill_last_success_timestamp_seconds", *wiki] == epoch(NOW) - 70 * 3600
    assert ("pgfleet_drill_last_success_timestamp_seconds", "app5.example.com", "app", "ledger") not in found
    assert ("pgfleet_backup_age_seconds", "app1.example.com", "app", "invoices") not in found
    assert found["pgfleet_backup_within_rpo", "app1.example.com", "app", "invoices"] == 0


def test_hostile_names_are_labels_and_nothing_more() -> None:
    found = samples(to_metrics(document_of(hostile_fleet())))
    databases = {key[3] for key in found if key[0] == "pgfleet_backup_size_bytes"}
    valid = {text.encode("utf-8", "backslashreplace").decode() for text in HOSTILE}
    assert databases == valid
    assert not [key for key in found if not key[0].startswith("pgfleet_")]


# -- words and charts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "text"), [
    (None, ""), (0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (13_400_000, "13.4 MB"), (99_949_000, "99.9 MB"), (428e6, "428 MB"),
    (999_600_000, "1.0 GB"), (52.4e9, "52.4 GB"), (7e12, "7.0 TB"), (3e18, "3000 PB"),
])
def test_sizes(size: float | None, text: str) -> None:
    assert size_text(size) == text


@pytest.mark.parametrize(("seconds", "text"), [
    (None, ""), (0, "0 s"), (0.25, "0.2 s"), (9.6, "9.6 s"), (59.9, "59 s"), (60, "1 min"), (219, "3 min 39 s"), (1500, "25 min"), (3600, "1 h"),
    (26 * 3600, "26 h"), (12000, "3 h 20 min"), (71 * 3600, "2 d 23 h"), (48 * 3600, "2 d"), (400 * 86400, "400 d"),
])
def test_spans(seconds: float | None, text: str) -> None:
    assert span_text(seconds) == text


def test_html_text() -> None:
    assert html_text("a<b>&\"'") == "a&lt;b&gt;&amp;&quot;&#x27;"
    assert html_text("x" * 601) == "x" * 600 + "…"


def test_charts_of_nothing_are_nothing() -> None:
    assert sparkline([], "x") == sparkline([(1, 5)], "x") == area_chart([(1, 5)], "x") == share_bar([("lost", 0)], "x") == ""


def test_charts_stay_within_their_frames() -> None:
    for curve in ([(1, 0), (2, 0)], [(1, 5), (1, 7)], [(1, 7), (9, 1000), (10, 2)], [(0, 3), (5, 3)]):
        svg = sparkline(curve, "x")
        points = [float(number) for number in re.findall(r"[\d.-]+", re.search(r' d="([^"]+)"', svg)[1])]  # type: ignore[index]
        assert all(0 <= number <= 100 for number in points[::2])
        assert all(0 <= number <= 24 for number in points[1::2])
    assert 'width="0.0"' in gauge(0, "safe")
    assert 'width="100.0"' in gauge(99, "late")
    widths = [float(width) for width in re.findall(r' width="([\d.]+)" height', share_bar([("lost", 1), ("safe", 99_999)], "x"))]
    assert widths[0] > 5
    assert sum(widths) == pytest.approx(996, abs=0.2)
