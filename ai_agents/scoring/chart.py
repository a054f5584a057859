"""The reliability chart: what was said against what came, as SVG with nothing around it."""

from collections.abc import Sequence
from html import escape

from ai_agents.scoring.measures import Bin

SIZE, LEFT, TOP, SPAN = 460, 56, 40, 360  # the square of the chart lies at LEFT, TOP
COLOURS = ("#1f6f4a", "#b4552d", "#5a5f9e", "#7a7a7a")
_FONT = 'font-family="system-ui, sans-serif" font-size="12"'


def reliability_svg(series: Sequence[tuple[str, Sequence[Bin]]], *, title: str) -> str:
    """One line of points per series, with 95 % intervals. On the diagonal what was said is what came."""
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIZE} {TOP + SPAN + 52}" role="img"'
        f' aria-label="{escape(title, quote=True)}" {_FONT}>',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="22" font-size="14" font-weight="600" fill="#222222">{escape(title)}</text>',
        *_grid(),
    ]
    for place, (name, bins) in enumerate(series):
        lines += _series(name, bins, COLOURS[place % len(COLOURS)], place)
    return "\n".join([*lines, "</svg>"]) + "\n"


def _x(share: float) -> str:
    return f"{LEFT + SPAN * share:.1f}"


def _y(share: float) -> str:
    return f"{TOP + SPAN * (1 - share):.1f}"


def _text(x: object, y: object, anchor: str, text: str) -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="#444444">{escape(text)}</text>'


def _grid() -> list[str]:
    lines = []
    for tenth in range(0, 11, 2):
        share = tenth / 10
        lines += [
            f'<path d="M{_x(share)} {_y(0)}V{_y(1)}M{_x(0)} {_y(share)}H{_x(1)}" stroke="#e3e3e3"/>',
            _text(_x(share), TOP + SPAN + 16, "middle", f"{10 * tenth}"),
            _text(LEFT - 6, f"{float(_y(share)) + 4:.1f}", "end", f"{10 * tenth}"),
        ]
    middle = TOP + SPAN / 2
    return [
        *lines,
        f'<path d="M{_x(0)} {_y(0)}L{_x(1)} {_y(1)}" stroke="#9a9a9a" stroke-dasharray="4 4"/>',
        _text(LEFT + SPAN / 2, TOP + SPAN + 38, "middle", "chance that was said, %"),
        f'<g transform="translate(18 {middle}) rotate(-90)">{_text(0, 0, "middle", "won, %")}</g>',
    ]


def _series(name: str, bins: Sequence[Bin], colour: str, place: int) -> list[str]:
    points = " ".join(f"{_x(one.said)},{_y(one.share)}" for one in bins)
    lines = [f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>']
    for one in bins:
        low, high = one.interval
        lines += [
            f'<path d="M{_x(one.said)} {_y(low)}V{_y(high)}" stroke="{colour}" stroke-opacity="0.5"/>',
            f'<circle cx="{_x(one.said)}" cy="{_y(one.share)}" r="3.5" fill="{colour}"><title>{escape(name)}:'
            f" said {one.said:.1%}, won {one.won} of {one.count}</title></circle>",
        ]
    y = TOP + 14 + 18 * place
    return [
        *lines,
        f'<circle cx="{LEFT + 14}" cy="{y}" r="4" fill="{colour}"/>',
        f'<text x="{LEFT + 24}" y="{y + 4}" fill="#222222">{escape(name)}</text>',
    ]
