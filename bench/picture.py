"""Draw figures as an SVG.

Latencies by percentile: both axes logarithmic, the nines to the right, as HdrHistogram's plots. Curves: both axes
linear, from zero. Bars: time to the right, linear, from zero. The ground is white, also where the page around is dark.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

from bench.offered import Latencies

WIDTH, HEIGHT, MARGIN = 860, 460, 60
LEGEND = 200
LEFT = 120  # of a bar, for its name
NINES = 4  # 99.99 %
LOWEST_MS, HIGHEST_MS = 0.5, 10_000.0
COLOURS = ("#1b7f3b", "#b00020", "#3355bb", "#c77700", "#7a2fa0", "#007a87", "#777777", "#a0522d", "#000000")
BAR, STEP = 13, 20  # height of a bar, and from one to the next
_POINTS = 120
_ROUND_MS = (10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)  # between two rules

Place = tuple[float, float]  # x and y


def draw(rows: Sequence[tuple[str, Latencies]]) -> str:
    """Return one curve a row."""
    return _picture(_grid(), [(name, list(_curve(latencies))) for name, latencies in rows])


def curves(rows: Sequence[tuple[str, Sequence[Place]]], what: str) -> str:
    """Return one curve a row through places of x and y, and say what y is."""
    right, top = (max(place[axis] for _, places in rows for place in places) for axis in (0, 1))
    each = [
        (name, [(_across(x / right), HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * y / top) for x, y in places])
        for name, places in rows
    ]
    return _picture(_scales(right, top, what), each)


def bars(rows: Sequence[tuple[str, Mapping[str, float]]], parts: Sequence[str], what: str) -> str:
    """Return one bar a row, divided into parts in milliseconds, with their sum behind it.

    Args:
        rows: what a bar is called, and its parts by name; a part may be missing.
        parts: every name, in the order of the bar.
        what: time counts from.
    """
    bottom = MARGIN + STEP * len(rows)
    longest_ms = max(sum(spans.values()) for _, spans in rows)
    lines = [*_legend(parts), f'<text x="{LEFT}" y="{MARGIN - 14}" font-size="12">{what}</text>']
    lines += _times(longest_ms, bottom)
    for at, (name, spans) in enumerate(rows):
        lines += _bar(MARGIN + STEP * at, name, [(parts.index(part), ms) for part, ms in spans.items()], longest_ms)
    return _framed(bottom + MARGIN // 2, lines)


def _legend(parts: Sequence[str]) -> Iterator[str]:
    for at, name in enumerate(parts):
        x = LEFT + (WIDTH - LEFT) * at / len(parts)
        yield f'<rect x="{x:.1f}" y="14" width="{BAR}" height="{BAR}" fill="{COLOURS[at]}"/>'
        yield f'<text x="{x + BAR + 4:.1f}" y="25" font-size="12">{name}</text>'


def _times(longest_ms: float, bottom: float) -> Iterator[str]:
    step_ms = next((step for step in _ROUND_MS if longest_ms / step <= 10), longest_ms)
    for number in range(int(longest_ms // step_ms) + 1):
        x = _along(number * step_ms, longest_ms)
        yield _rule(x, MARGIN - 6, x, bottom)
        below = f'y="{bottom + 14}" font-size="11" text-anchor="middle"'
        yield f'<text x="{x:.1f}" {below}>{number * step_ms:,.0f} ms</text>'


def _bar(y: float, name: str, parts: Sequence[tuple[int, float]], longest_ms: float) -> Iterator[str]:
    yield f'<text x="{LEFT - 8}" y="{y + 11}" font-size="12" text-anchor="end">{name}</text>'
    start_ms = 0.0
    for colour, ms in parts:
        x, end = _along(start_ms, longest_ms), _along(start_ms + ms, longest_ms)
        yield f'<rect x="{x:.1f}" y="{y}" width="{end - x:.1f}" height="{BAR}" fill="{COLOURS[colour]}"/>'
        start_ms += ms
    yield f'<text x="{_along(start_ms, longest_ms) + 6:.1f}" y="{y + 11}" font-size="11">{start_ms:,.0f}</text>'


def _along(ms: float, longest_ms: float) -> float:
    return LEFT + (WIDTH - LEFT - MARGIN) * ms / longest_ms


def _framed(height: float, lines: Iterable[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif">'
    return "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *lines, "</svg>", ""])


def _picture(ground: Iterable[str], rows: Sequence[tuple[str, Sequence[Place]]]) -> str:
    parts = list(ground)
    for at, (name, places) in enumerate(rows):
        colour = COLOURS[at % len(COLOURS)]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        y = MARGIN + 16 * at
        parts.append(f'<text x="{WIDTH - LEGEND + 12}" y="{y}" font-size="12" fill="{colour}">{name}</text>')
    return _framed(HEIGHT, parts)


def _scales(right: float, top: float, what: str) -> Iterator[str]:
    yield f'<text x="{MARGIN}" y="{MARGIN - 16}" font-size="12">{what}</text>'
    for part in range(5):
        x, y = _across(part / 4), HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * part / 4
        yield _rule(x, MARGIN, x, HEIGHT - MARGIN)
        below = f'y="{HEIGHT - MARGIN + 18}" font-size="11" text-anchor="middle"'
        yield f'<text x="{x}" {below}>{right * part / 4:g}</text>'
        yield _rule(MARGIN, y, WIDTH - LEGEND, y)
        yield f'<text x="{MARGIN - 6}" y="{y + 4}" font-size="11" text-anchor="end">{top * part / 4:.3g}</text>'


def _curve(latencies: Latencies) -> Iterator[tuple[float, float]]:
    for step in range(_POINTS + 1):
        nines = NINES * step / _POINTS
        ms = latencies.at(100 * (1 - 10**-nines))
        if ms is not None:
            yield _x(nines), _y(ms)


def _grid() -> Iterator[str]:
    for nines, label in enumerate(("0", "90 %", "99 %", "99.9 %", "99.99 %")):
        yield _rule(_x(nines), MARGIN, _x(nines), HEIGHT - MARGIN)
        yield f'<text x="{_x(nines)}" y="{HEIGHT - MARGIN + 18}" font-size="11" text-anchor="middle">{label}</text>'
    for ms in (1, 10, 100, 1_000, 10_000):
        yield _rule(MARGIN, _y(ms), WIDTH - LEGEND, _y(ms))
        yield f'<text x="{MARGIN - 6}" y="{_y(ms) + 4}" font-size="11" text-anchor="end">{ms} ms</text>'


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#dddddd"/>'


def _x(nines: float) -> float:
    return _across(nines / NINES)


def _across(share: float) -> float:
    return MARGIN + (WIDTH - LEGEND - MARGIN) * share


def _y(ms: float) -> float:
    share = math.log(min(max(ms, LOWEST_MS), HIGHEST_MS) / LOWEST_MS) / math.log(HIGHEST_MS / LOWEST_MS)
    return HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * share
