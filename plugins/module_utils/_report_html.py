# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report as one page that needs nothing else: readable on a phone and on a wall, in the light and in the dark."""

from __future__ import annotations

import base64
import hashlib
from typing import Any, Iterable, List, Mapping

from ansible_collections.pgfleet.backup.plugins.module_utils._report_charts import (
    area_chart,
    gauge,
    share_bar,
    sparkline,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._report_model import RISKS, epoch
from ansible_collections.pgfleet.backup.plugins.module_utils._report_style import SCRIPT, STYLE, SYMBOLS
from ansible_collections.pgfleet.backup.plugins.module_utils._report_words import html_text, size_text, span_text

__all__ = ["to_html"]

# The word for each risk, and what it means.
_WORDS = {
    "lost": ("Lost", "no verified backup"),
    "unknown": ("Unknown", "nobody could look"),
    "late": ("Late", "older than its RPO"),
    "failing": ("Failing", "in time, but the last run failed"),
    "unsafe": ("Unsafe", "no verified copy off the host"),
    "safe": ("Safe", "in time, and copied off the host"),
}
_COLUMNS = (
    "State", "Database", "Last verified backup", "Lost now", "Size", "Took", "Last drill", "Copies off the host",
)
_FOOT = """<footer>Times are UTC. A backup counts when it is verified. A database is safe when a verified copy of its
last backup lies off its host. The same as data: <code>report.json</code>, <code>metrics.prom</code>.</footer></main>"""
_META = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer">
<link rel="icon" href="data:,"><title>{headline} – {title}</title>
<style>{style}</style></head><body>"""
_POLICY = (
    "default-src 'none'; style-src 'sha256-{0}'; script-src 'sha256-{1}'; img-src data:; base-uri 'none'; "
    "form-action 'none'"
)
_MAX_ROWS = 2000  # beyond, a browser is slow and nobody reads; the worst are on top, and report.json has all
_MAX_PROBLEMS = 50


def to_html(document: Mapping[str, Any]) -> bytes:
    """The page of ``document``, the report. Every text in it that others wrote is escaped."""
    summary, rows = document["summary"], document["rows"]
    state = next((risk for risk in RISKS if summary["risks"][risk]), "none")
    if summary["problems"] and state in ("unsafe", "safe", "none"):
        state = "failing"
    parts = [
        _head(document),
        SYMBOLS,
        "<main>",
        _header(document, state),
        _notes(document, len(rows)),
        _tiles(summary),
        _fleet(document) if rows else "",
        _table(rows[:_MAX_ROWS]) if rows else "",
        _FOOT,
        "<script>{0}</script></body></html>\n".format(SCRIPT),
    ]
    return "\n".join(part for part in parts if part).encode("utf-8")


def _head(document: Mapping[str, Any]) -> str:
    return _META.format(
        policy=_POLICY.format(_checksum(STYLE), _checksum(SCRIPT)), title=html_text(document["title"]),
        headline=html_text(document["summary"]["headline"]), style=STYLE)


def _checksum(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def _symbol(risk: str) -> str:
    return '<svg class="i" aria-hidden="true"><use href="#{0}"/></svg>'.format(risk)


def _header(document: Mapping[str, Any], state: str) -> str:
    summary = document["summary"]
    shares = share_bar([(risk, summary["risks"][risk]) for risk in RISKS], "how many databases of each state")
    return (
        '<header class="{state}"><p>{title}</p><h1>{symbol}{headline}</h1>'
        "<p>{databases} on {hosts}, as of {time}</p>{shares}</header>"
    ).format(
        state=state, title=html_text(document["title"]), symbol=_symbol(state) if state != "none" else "",
        headline=html_text(summary["headline"]), databases=_many(summary["databases"], "database"),
        hosts=_many(summary["hosts"], "host"), time=_moment(document["generated"]), shares=shares)


def _notes(document: Mapping[str, Any], rows: int) -> str:
    notes = [
        '<p class="note" id="old" hidden data-made="{0}">This page is <b></b> days old: nobody renews it any more.</p>'
        .format(html_text(document["generated"]))
    ]
    problems = document["problems"]
    if problems:
        items = ["<li><bdi>{0}</bdi>: {1}</li>".format(html_text(item["source"]), html_text(item["msg"]))
                 for item in problems[:_MAX_PROBLEMS]]
        notes.append('<div class="note"><b>{0} in what was reported</b><ul>{1}</ul></div>'.format(
            _many(len(problems), "problem"), "".join(items)))
    if rows > _MAX_ROWS:
        notes.append('<p class="note">The {0} worst are shown; <code>report.json</code> has all {1}.</p>'.format(
            _count(_MAX_ROWS), _count(rows)))
    return "".join(notes)


def _tiles(summary: Mapping[str, Any]) -> str:
    tiles = []
    for risk in RISKS:
        count = summary["risks"][risk]
        word, meaning = _WORDS[risk]
        tiles.append(
            '<button type="button" class="{risk}{nil}" aria-pressed="false"><b>{symbol}{count}</b><span>{word}</span>'
            "<small>{meaning}</small></button>".format(
                risk=risk, nil="" if count else " nil", symbol=_symbol(risk), count=_count(count), word=word,
                meaning=meaning))
    return '<div class="tiles">{0}</div>'.format("".join(tiles))


def _fleet(document: Mapping[str, Any]) -> str:
    summary = document["summary"]
    facts = [
        ("Databases", _count(summary["databases"])),
        ("Last backups together", size_text(summary["bytes"])),
        ("Proven by a drill", "{0} of {1}".format(_count(summary["drilled"]), _count(summary["databases"]))),
    ]
    if summary["oldest"]:
        facts.append(("Oldest last backup", "{0}, <bdi>{1}</bdi>".format(
            _moment(summary["oldest"]["created"]), html_text(summary["oldest"]["database"]))))
    listed = "".join("<dt>{0}</dt><dd>{1}</dd>".format(name, value) for name, value in facts)
    return '<div class="fleet">{0}<dl>{1}</dl></div>'.format(_fleet_chart(document["sizes"]), listed)


def _fleet_chart(sizes: List[List[Any]]) -> str:
    curve = [(epoch(at), size) for at, size in sizes]
    chart = area_chart(curve, "size of all last backups over time")
    if not chart:
        return "<figure><figcaption><b>Size of all last backups</b></figcaption><p>not known over time yet</p></figure>"
    return (
        "<figure><figcaption><b>Size of all last backups</b><span>at most {most}</span></figcaption>{chart}"
        "<p><span>{first}</span><span>{last}</span></p></figure>"
    ).format(most=size_text(max(size for _at, size in curve)), chart=chart, first=html_text(sizes[0][0][:10]),
             last=html_text(sizes[-1][0][:10]))


def _table(rows: Iterable[Mapping[str, Any]]) -> str:
    heads = "".join('<th scope="col">{0}</th>'.format(name) for name in _COLUMNS)
    return (
        '<input type="search" hidden placeholder="Find a host or database" aria-label="Find a host or database">'
        "<table><thead><tr>{0}</tr></thead>{1}</table>"
    ).format(heads, "\n".join(_row(row) for row in rows))


def _row(row: Mapping[str, Any]) -> str:
    contents = (_last(row), _lost(row), _size(row), _took(row), _drill(row), _copies(row))
    cells = [
        '<td data-l="{0}" class="{1}"><div>{2}</div></td>'.format(
            label, "big" if label == "Lost now" else "" if content else "nil", content or "–")
        for label, content in zip(_COLUMNS[2:], contents)
    ]
    return (
        '<tbody class="{risk}"><tr><td class="state">{symbol}{word}</td><th scope="row">{name}</th>{cells}</tr>{why}'
        "</tbody>"
    ).format(risk=row["risk"], symbol=_symbol(row["risk"]), word=_WORDS[row["risk"]][0], name=_name(row),
             cells="".join(cells), why=_why(row))


def _name(row: Mapping[str, Any]) -> str:
    place = " · ".join("<bdi>{0}</bdi>".format(html_text(part)) for part in (row["host"], row["instance"]) if part)
    if not row["database"]:
        return "<b>{0}</b><small>no database is known</small>".format(place)
    return "<b><bdi>{0}</bdi></b><small>{1}</small>".format(html_text(row["database"]), place)


def _last(row: Mapping[str, Any]) -> str:
    last = row["last_backup"]
    rpo = "<small>RPO {0}</small>".format(span_text(row["rpo_seconds"]))
    if not last:
        return "none{0}".format(rpo) if row["risk"] != "unknown" else rpo
    part = last["age_seconds"] / row["rpo_seconds"] if row["rpo_seconds"] else 2
    return "{0} ago{1}<small>{2} · RPO {3}</small>".format(
        span_text(last["age_seconds"]), gauge(part, row["risk"]), _moment(last["created"]),
        span_text(row["rpo_seconds"]))


def _lost(row: Mapping[str, Any]) -> str:
    if row["loss_now"] != "since":
        return '<span class="bad">everything</span>' if row["loss_now"] == "everything" else "nobody knows"
    with_host = row["loss_with_host_seconds"]
    text = span_text(row["loss_now_seconds"])
    if row["safe"]:
        return text
    return "{0}<small>with the host: {1}</small>".format(
        text, "everything" if with_host is None else span_text(with_host))


def _size(row: Mapping[str, Any]) -> str:
    text = size_text(row["bytes"])
    growth = row["growth_of_a_month"]
    if growth is not None:
        percent = round(growth * 100)
        text += "<small>{0} % a month</small>".format("{0:+d}".format(percent).replace("-", "\u2212") if percent else 0)
    curve = [(epoch(at), size) for at, size in row["sizes"]]
    return text + sparkline(curve, "size over {0}".format(span_text(curve[-1][0] - curve[0][0]))) if curve else text


def _took(row: Mapping[str, Any]) -> str:
    return span_text((row["last_backup"] or {}).get("seconds"))


def _drill(row: Mapping[str, Any]) -> str:
    drill = row["last_drill"]
    if not drill:
        return "never" if row["last_backup"] else ""
    when = span_text(drill["age_seconds"])
    if drill["result"] != "ok":
        return '<span class="bad">failed</span><small>{0} ago</small>'.format(when)
    return "{0}<small>restored {1} ago</small>".format(span_text(drill["seconds"]) or "ok", when)


def _copies(row: Mapping[str, Any]) -> str:
    last = (row["last_backup"] or {}).get("id")
    return "".join("<div><bdi>{0}</bdi>{1}</div>".format(
        html_text(copy["where"]), "" if copy["id"] == last else "<small>of {0}</small>".format(_moment(copy["created"]))
    ) for copy in row["copies"][:5]) or ("none" if row["last_backup"] else "")


def _why(row: Mapping[str, Any]) -> str:
    code, msg = row["code"] or "", row["msg"] or ""
    if code and msg.startswith(code + ": "):
        msg = msg[len(code) + 2:]
    told = {"uncovered": "it exists, and nothing backs it up", "suspicious": "the last backup is suspicious"}
    msg = msg or told.get(row["outcome"], "")
    if not code and not msg:
        return ""
    return '<tr class="why"><td></td><td colspan="7">{0}{1}{2}</td></tr>'.format(
        "<code>{0}</code> ".format(html_text(code)) if code else "", html_text(msg),
        " <span>{0}</span>".format(html_text(row["hint"])) if row["hint"] else "")


def _moment(text: str) -> str:
    return html_text(text[:16].replace("T", " "))


def _count(number: int) -> str:
    return "{0:,}".format(number)


def _many(number: int, name: str) -> str:
    return "{0} {1}{2}".format(_count(number), name, "" if number == 1 else "s")
