# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small charts as SVG, drawn here: the page needs no library, and a thousand of them stay small.

Colours are classes of the page's style, and no attribute ``style`` is used, which its policy would refuse.
"""

from __future__ import annotations

from typing import Iterable, List, Sequence, Tuple

from ansible_collections.pgfleet.backup.plugins.module_utils._report_words import html_text

__all__ = ["area_chart", "gauge", "share_bar", "sparkline"]

_WIDTH, _HEIGHT = 100, 24
_WIDE, _HIGH = 600, 120

Curve = Sequence[Tuple[int, float]]


def sparkline(curve: Curve, label: str) -> str:
    """Sizes over time; empty for less than two points. What hardly changes looks as if it hardly changed."""
    if len(curve) < 2:
        return ""
    most, least = max(value for _at, value in curve), min(value for _at, value in curve)
    points = _scaled(curve, _WIDTH, _HEIGHT, bottom=min(least, most * 0.6))
    x, y = points[-1]
    return (
        '<svg class="spark" viewBox="0 0 {w} {h}" role="img" aria-label="{label}"><path d="{line}"/>'
        '<circle cx="{x}" cy="{y}" r="2"/></svg>'
    ).format(w=_WIDTH + 3, h=_HEIGHT, label=html_text(label), line=_line(points), x=x, y=y)


def area_chart(curve: Curve, label: str) -> str:
    """The same, large and filled, from nothing at the bottom; it is stretched to the place it gets."""
    if len(curve) < 2:
        return ""
    points = _scaled(curve, _WIDE, _HIGH, bottom=0)
    line = _line(points)
    return (
        '<svg class="area" viewBox="0 0 {w} {h}" preserveAspectRatio="none" role="img" aria-label="{label}">'
        '<path class="fill" d="{line}L{w} {h}L0 {h}Z"/><path class="line" d="{line}"/></svg>'
    ).format(w=_WIDE, h=_HIGH, label=html_text(label), line=line)


def gauge(part: float, risk: str) -> str:
    """How much of the allowed time is used: 1 is all of it, which is two thirds of the gauge."""
    filled = round(min(max(part, 0), 1.5) / 1.5 * _WIDTH, 1)
    return (
        '<svg class="gauge {risk}" viewBox="0 0 {w} 6" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="rail" width="{w}" height="6"/><rect width="{filled}" height="6"/>'
        '<rect class="mark" x="{mark}" width="1.2" height="6"/></svg>'
    ).format(risk=risk, w=_WIDTH, filled=filled, mark=round(_WIDTH / 1.5, 1))


def share_bar(shares: Iterable[Tuple[str, int]], label: str) -> str:
    """How many of each class there are, side by side. What is there at all is to be seen, however few."""
    present = [(name, count) for name, count in shares if count]
    total = sum(count for _name, count in present)
    if not total:
        return ""
    widths = [max(count / total * 1000, 8) for _name, count in present]
    scale = 1000 / sum(widths)
    parts, x = [], 0.0
    for (name, _count), width in zip(present, widths):
        parts.append('<rect class="{0}" x="{1:.1f}" width="{2:.1f}" height="10"/>'.format(name, x, width * scale - 2))
        x += width * scale
    return (
        '<svg class="shares" viewBox="0 0 998 10" preserveAspectRatio="none" role="img" aria-label="{0}">{1}</svg>'
    ).format(html_text(label), "".join(parts))


def _scaled(curve: Curve, width: int, height: int, *, bottom: float) -> List[Tuple[float, float]]:
    first, length = curve[0][0], (curve[-1][0] - curve[0][0]) or 1
    range_ = (max(value for _at, value in curve) - bottom) or 1
    return [
        (round((at - first) / length * width, 1), round(height - 2 - (value - bottom) / range_ * (height - 4), 1))
        for at, value in curve
    ]


def _line(points: Sequence[Tuple[float, float]]) -> str:
    return "M" + "L".join("{0:g} {1:g}".format(x, y) for x, y in points)
