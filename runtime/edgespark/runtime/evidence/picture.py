"""The error of each layer as a picture: SVG, a panel per part, a line per precision."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, isfinite, log10

from edgespark.runtime.layers import Layers
from edgespark.runtime.manifest import Precision
from edgespark.runtime.wording import printable, short

COLUMNS = 3
WIDTH, HEIGHT = 380, 190  # of a panel, in pixels
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 26, 34  # of a panel's frame
HEAD = 64  # above the panels
SINGLE = "parts of one layer"
LOWEST = 1e-9  # what is less is drawn there


@dataclass(frozen=True, slots=True)
class Style:
    """How a precision is drawn: a colour of Okabe and Ito's, and a mark around (0, 0)."""

    colour: str
    mark: str


STYLES: dict[Precision, Style] = {
    "fp32": Style("#000000", "M-3,-3 L3,3 M-3,3 L3,-3"),
    "fp16": Style("#0072B2", "M-3,0 A3,3 0 1 0 3,0 A3,3 0 1 0 -3,0 Z"),
    "int8": Style("#D55E00", "M-3,-3 H3 V3 H-3 Z"),
    "int4": Style("#009E73", "M0,-4 L4,3 H-4 Z"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """The decades that every panel shows, as powers of ten."""

    low: int
    high: int

    def y(self, error: float) -> float:
        """Return the height of an error in a panel; what is not finite is at its upper edge."""
        power = log10(max(error, LOWEST)) if isfinite(error) else self.high
        share = (power - self.low) / (self.high - self.low)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def picture(title: str, layers: Sequence[Layers]) -> str:
    """Return the SVG document; only graphs of which layers were measured are in it."""
    parts = _panels(layers)
    scale = _scale([e for each in layers for e in each.errors.values()])
    wide = WIDTH * min(COLUMNS, max(len(parts), 2))
    high = HEAD + HEIGHT * ceil(len(parts) / COLUMNS)
    used = [each for each in STYLES if any(each == one.precision for one in layers if one.errors)]
    body = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide}" height="{high}" '
        f'viewBox="0 0 {wide} {high}" font-family="sans-serif" font-size="11">',
        f'<rect width="{wide}" height="{high}" fill="white"/>',
        _text(12, 22, f"Error of each layer: {title}", "font-size='15' font-weight='bold'"),
        *_legend(used),
    ]
    for i, (name, drawn) in enumerate(parts.items()):
        x, y = i % COLUMNS * WIDTH, HEAD + i // COLUMNS * HEIGHT
        body += [f'<g transform="translate({x},{y})">', *_panel(name, drawn, scale), "</g>"]
    return "\n".join([*body, "</svg>", ""])


def _panels(layers: Sequence[Layers]) -> dict[str, list[Layers]]:
    """Return what each panel draws, by its title; parts of a single layer share one."""
    count: dict[str, int] = {}
    for each in layers:
        count[each.name] = max(count.get(each.name, 0), len(each.errors))
    panels: dict[str, list[Layers]] = {}
    single: dict[Precision, dict[str, float]] = {}
    for each in layers:
        if count[each.name] > 1 and each.errors:
            panels.setdefault(each.name, []).append(each)
        for layer, error in each.errors.items() if count[each.name] == 1 else ():
            single.setdefault(each.precision, {})[f"{each.name}: {layer}"] = error
    together = [Layers(name=SINGLE, precision=name, errors=each) for name, each in single.items()]
    return {**panels, **({SINGLE: together} if together else {})}


def _scale(errors: Sequence[float]) -> Scale:
    powers = [log10(max(e, LOWEST)) for e in errors if isfinite(e)] or [0.0]
    low = floor(min(powers))
    return Scale(low=low, high=max(ceil(max(powers)), low + 1))


def _legend(used: Sequence[Precision]) -> Iterator[str]:
    for i, precision in enumerate(used):
        yield _mark(precision, 18 + 60 * i, 42, precision)
        yield _text(26 + 60 * i, 46, precision)
    what = "greatest difference from the fp32 graph's tensor, in its standard deviations"
    yield _text(26 + 60 * len(used), 46, what, "fill='#444'")


def _panel(name: str, layers: Sequence[Layers], scale: Scale) -> Iterator[str]:
    """Draw one part: its layers from left to right, in the order of the bundle's evidence."""
    order = list(dict.fromkeys(layer for each in layers for layer in each.errors))
    step = (WIDTH - LEFT - RIGHT) / max(len(order) - 1, 1)
    yield _text(LEFT, 18, short(name), "font-weight='bold'")
    yield from _grid(scale)
    for each in layers:
        at = {layer: LEFT + step * order.index(layer) for layer in each.errors}
        points = " ".join(f"{at[n]:.1f},{scale.y(e):.1f}" for n, e in each.errors.items())
        colour = STYLES[each.precision].colour
        yield f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-opacity="0.5"/>'
        for layer, error in each.errors.items():
            told = f"{layer}: {each.precision} {error:.1e}"
            yield _mark(each.precision, at[layer], scale.y(error), told)
    worst = max(layers, key=lambda each: each.errors[each.worst or ""])
    count = f"{len(order)} layers" if len(order) > 1 else "1 layer"
    told = f"{count}, in their order; worst, {worst.precision}: {short(worst.worst or '')}"
    yield _text(LEFT, HEIGHT - 14, told, "fill='#444' font-size='10'")


def _grid(scale: Scale) -> Iterator[str]:
    step = ceil((scale.high - scale.low) / 6)
    for power in range(scale.low, scale.high + 1, step):
        y = scale.y(10.0**power)
        yield f'<path d="M{LEFT},{y:.1f} H{WIDTH - RIGHT}" stroke="#ddd"/>'
        yield _text(LEFT - 5, y + 4, f"1e{power}", "text-anchor='end' fill='#444'")


def _mark(precision: Precision, x: float, y: float, told: str) -> str:
    style = STYLES[precision]
    return (
        f'<path transform="translate({x:.1f},{y:.1f})" d="{style.mark}" fill="{style.colour}">'
        f"<title>{escape(printable(told))}</title></path>"
    )


def _text(x: float, y: float, text: str, how: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {how}>{escape(printable(text))}</text>'
