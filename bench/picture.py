"""Draw latencies by percentile as an SVG: both axes logarithmic, the nines to the right, as HdrHistogram's plots."""

import math
from collections.abc import Iterator, Sequence

from bench.offered import Latencies

WIDTH, HEIGHT, MARGIN = 860, 460, 60
LEGEND = 200
NINES = 4  # 99.99 %
LOWEST_MS, HIGHEST_MS = 0.5, 10_000.0
COLOURS = ("#1b7f3b", "#b00020", "#3355bb", "#c77700", "#7a2fa0", "#007a87", "#777777", "#a0522d", "#000000")
_POINTS = 120


def draw(rows: Sequence[tuple[str, Latencies]]) -> str:
    """Return one curve a row."""
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif">']
    parts += ['<rect width="100%" height="100%" fill="white"/>', *_grid()]
    for at, (name, latencies) in enumerate(rows):
        colour = COLOURS[at % len(COLOURS)]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in _curve(latencies))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        y = MARGIN + 16 * at
        parts.append(f'<text x="{WIDTH - LEGEND + 12}" y="{y}" font-size="12" fill="{colour}">{name}</text>')
    return "\n".join([*parts, "</svg>", ""])


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
    return MARGIN + (WIDTH - LEGEND - MARGIN) * nines / NINES


def _y(ms: float) -> float:
    share = math.log(min(max(ms, LOWEST_MS), HIGHEST_MS) / LOWEST_MS) / math.log(HIGHEST_MS / LOWEST_MS)
    return HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * share
