# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page in a real browser, in the light and in the dark, on a desk and on a phone. Screenshots stay in tests/output."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgfleet.backup.tests.conftest import NO_BROWSER, REQUIRE_BROWSER
from ansible_collections.pgfleet.backup.tests.support.browser import Browser, Page, find_browser
from ansible_collections.pgfleet.backup.tests.support.environment import REPOSITORY
from ansible_collections.pgfleet.backup.tests.support.fleets import NOW, ago, healthy, large, troubled
from ansible_collections.pgfleet.backup.tests.support.modules import run_module

OUTPUT = REPOSITORY / "tests" / "output" / "report"
FLEETS: dict[str, list[Any]] = {"healthy": [healthy()], "troubled": [troubled()], "empty": []}
BACKGROUND = "getComputedStyle(document.body).backgroundColor"
VISIBLE = "[...document.querySelectorAll('tbody')].filter(row => row.offsetHeight).map(row => row.className)"
ORDER = ["lost", "lost", "unknown", "late", "late", "failing", "unsafe", "safe", "safe", "safe"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = find_browser()
    if path is None:
        if REQUIRE_BROWSER:
            pytest.fail("REQUIRE_BROWSER is set, but there is no Chromium", pytrace=False)
        pytest.skip(f"{NO_BROWSER}: none was found")
    with Browser(path) as started:
        yield started


def render(folder: Path, fragments: list[Any], **how: Any) -> Path:
    run_module("pg_backup_report", {"report_dir": folder, "fragments": fragments, "generated": NOW, **how}).succeeded()
    return folder / "report.html"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: render(tmp_path_factory.mktemp(name), fragments) for name, fragments in FLEETS.items()}


@pytest.fixture
def troubled_page(browser: Browser, pages: dict[str, Path]) -> Iterator[Page]:
    page = browser.open(pages["troubled"])
    yield page
    page.close()


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("fleet", FLEETS)
def test_it_looks_well(browser: Browser, pages: dict[str, Path], fleet: str, dark: bool, width: int) -> None:
    page = browser.open(pages[fleet], width=width, dark=dark)
    page.screenshot(OUTPUT / f"{fleet}-{'dark' if dark else 'light'}-{width}.png")
    assert page.complaints() == []
    assert page.requests() == []
    assert page.evaluate(BACKGROUND) == ("rgb(14, 17, 22)" if dark else "rgb(244, 245, 247)")
    assert page.evaluate("document.documentElement.scrollWidth") == width  # nobody has to scroll sideways
    assert page.evaluate("getComputedStyle(document.querySelector('.tiles')).gridTemplateColumns").count("px") == (6 if width > 600 else 3)
    page.close()


def test_the_worst_is_on_top_and_the_headline_says_so(troubled_page: Page) -> None:
    assert troubled_page.evaluate(VISIBLE) == ORDER
    assert troubled_page.evaluate("document.querySelector('h1').innerText") == "2 databases would be lost tonight"
    assert troubled_page.evaluate("document.title") == "2 databases would be lost tonight – PostgreSQL backups"
    tops = troubled_page.evaluate("[...document.querySelectorAll('tbody')].map(row => row.getBoundingClientRect().top)")
    assert tops == sorted(tops)


def test_a_state_or_a_name_can_be_picked(troubled_page: Page) -> None:
    troubled_page.evaluate("document.querySelector('.tiles .late').click()")
    assert troubled_page.evaluate(VISIBLE) == ["late", "late"]
    troubled_page.evaluate("document.querySelector('.tiles .late').click()")
    assert troubled_page.evaluate(VISIBLE) == ORDER
    troubled_page.evaluate("(find => {find.value = 'APP4'; find.dispatchEvent(new Event('input'))})(document.querySelector('input'))")
    assert troubled_page.evaluate(VISIBLE) == ["failing", "safe"]


def test_the_policy_lets_nothing_in(troubled_page: Page) -> None:
    """What would be a hole in the escaping still runs and loads nothing."""
    troubled_page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=\"https://example.com/x.png\" onerror=\"window.hit=1\">')")
    troubled_page.evaluate("(made => {made.textContent = 'window.hit = 1'; document.body.append(made)})(document.createElement('script'))")
    assert troubled_page.evaluate("window.hit") is None
    assert len(troubled_page.complaints()) >= 2


def test_a_page_that_nobody_renews_says_so(browser: Browser, tmp_path: Path, troubled_page: Page) -> None:
    shown = "document.getElementById('old').offsetHeight ? document.getElementById('old').innerText : ''"
    assert troubled_page.evaluate(shown) == ""
    page = browser.open(render(tmp_path, [healthy()], generated=f"{ago(days=9):%Y-%m-%dT00:00:00Z}"))
    assert page.evaluate(shown).startswith(("This page is 9 days old", "This page is 10 days old"))
    page.close()


def test_a_thousand_hosts_are_one_page(browser: Browser, tmp_path: Path) -> None:
    folder = tmp_path / "fragments"
    folder.mkdir()
    for number, item in enumerate(large(1000, 30)):
        (folder / f"{number}.json").write_text(json.dumps(item), encoding="utf-8")
    file = render(tmp_path, [], fragments_dir=folder)
    started = time.monotonic()
    page = browser.open(file)
    print(f"{file.stat().st_size} bytes, loaded in {time.monotonic() - started:.2f} s")
    assert page.evaluate("document.querySelectorAll('tbody').length") == 1000
    assert page.complaints() == []
    assert file.stat().st_size < 3_000_000
    page.close()
