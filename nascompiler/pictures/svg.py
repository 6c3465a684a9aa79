"""Writing SVG: shapes and texts on a canvas that grows with them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

Point = tuple[float, float]

FONT = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"
INK = "#222222"
FAINT = "#6b6b6b"

ARROW = (
    '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
    f'orient="auto-start-reverse"><path d="M0.5,1 L7.5,4 L0.5,7 z" fill="{INK}"/></marker></defs>'
)

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_WIDTHS = {
    **dict.fromkeys("fijlt.,:;'|!()[]/ ·", 0.34),
    **dict.fromkeys("mwMW@%→×+", 0.95),
    **dict.fromkeys("r-", 0.39),
}


def escaped(text: str) -> str:
    """`text` as the content of an element or a quoted attribute; what XML cannot hold becomes U+FFFD."""
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&#39;")):
        text = text.replace(character, entity)
    return _FORBIDDEN.sub("\ufffd", text)


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """About how wide a text is in Helvetica or its like; rather more than less."""
    units = sum(_WIDTHS.get(c, 0.7 if c.isupper() else 0.61) for c in text)
    return units * size * (1.14 if bold else 1.0)


def fitted(text: str, size: float, width: float, *, bold: bool = False) -> str:
    """`text`, cut short with an ellipsis where it is wider than `width`."""
    if text_width(text, size, bold=bold) <= width:
        return text
    while text and text_width(f"{text}…", size, bold=bold) > width:
        text = text[:-1]
    return f"{text.rstrip()}…"


def number(value: float) -> str:
    """With two decimals at most."""
    return f"{round(value, 2) + 0.0:.2f}".rstrip("0").rstrip(".")


@dataclass
class Canvas:
    """Shapes in the order in which they are drawn; positions are pixels, y grows downwards."""

    parts: list[str] = field(default_factory=list)
    left: float = 0.0
    top: float = 0.0
    right: float = 0.0
    bottom: float = 0.0

    def _grow(self, *points: Point) -> None:
        for x, y in points:
            self.left, self.right = min(self.left, x), max(self.right, x)
            self.top, self.bottom = min(self.top, y), max(self.bottom, y)

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        *,
        fill: str = "#ffffff",
        stroke: str = INK,
        radius: float = 4,
        dashed: bool = False,
        note: str = "",
    ) -> None:
        """A rectangle from its top left corner; `note` is shown where the pointer rests on it."""
        self._grow((x, y), (x + width, y + height))
        dash = ' stroke-dasharray="4 3"' if dashed else ""
        shape = (
            f'<rect x="{number(x)}" y="{number(y)}" width="{number(width)}" height="{number(height)}" '
            f'rx="{number(radius)}" fill="{fill}" stroke="{stroke}"{dash}'
        )
        self.parts.append(f"{shape}><title>{escaped(note)}</title></rect>" if note else f"{shape}/>")

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float = 12,
        anchor: str = "middle",
        bold: bool = False,
        fill: str = INK,
        upright: bool = True,
    ) -> None:
        """A line of text whose middle is at height y; not `upright`: read from below, around its middle."""
        half = text_width(text, size, bold=bold) / 2
        if upright:
            begin = {"start": 0.0, "middle": -half, "end": -2 * half}[anchor]
            self._grow((x + begin, y - size / 2), (x + begin + 2 * half, y + size / 2))
        weight = ' font-weight="bold"' if bold else ""
        turn = "" if upright else f' transform="rotate(-90 {number(x)} {number(y)})"'
        self.parts.append(
            f'<text x="{number(x)}" y="{number(y + 0.35 * size)}" font-size="{number(size)}" '
            f'text-anchor="{anchor}" fill="{fill}"{weight}{turn}>{escaped(text)}</text>'
        )

    def line(
        self, path: str, points: Sequence[Point], *, stroke: str = INK, arrow: bool = True, dashed: bool = False
    ) -> None:
        """A path, given as SVG path data and by the points that it stays between."""
        self._grow(*points)
        end = ' marker-end="url(#arrow)"' if arrow else ""
        dash = ' stroke-dasharray="4 3"' if dashed else ""
        self.parts.append(f'<path d="{path}" fill="none" stroke="{stroke}"{end}{dash}/>')

    def add(self, other: Canvas, x: float, y: float) -> None:
        """Another canvas with its top left corner at (x, y)."""
        dx, dy = x - other.left, y - other.top
        self._grow((x, y), (other.right + dx, other.bottom + dy))
        self.parts += [f'<g transform="translate({number(dx)} {number(dy)})">', *other.parts, "</g>"]

    def render(self, title: str, *, margin: float = 16) -> str:
        """The whole file."""
        x, y = self.left - margin, self.top - margin
        width, height = self.right - self.left + 2 * margin, self.bottom - self.top + 2 * margin
        view = " ".join(map(number, (x, y, width, height)))
        size = f'width="{number(width)}" height="{number(height)}"'
        head = [
            '<?xml version="1.0" encoding="UTF-8"?>',
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{view}" {size} font-family="{escaped(FONT)}">',
            f"<title>{escaped(title)}</title>",
            ARROW,
            f'<rect x="{number(x)}" y="{number(y)}" {size} fill="#ffffff"/>',
        ]
        return "\n".join([*head, *self.parts, "</svg>"]) + "\n"


def straight(points: Sequence[Point]) -> str:
    """Path data through points by straight lines."""
    return "M" + " L".join(f"{number(x)},{number(y)}" for x, y in points)


def curved(points: Sequence[Point]) -> str:
    """Path data through points by curves that leave and arrive vertically."""
    (x, y), *others = points
    path = f"M{number(x)},{number(y)}"
    for next_x, next_y in others:
        if abs(next_x - x) < 0.01:
            path += f" L{number(next_x)},{number(next_y)}"
        else:
            middle = (y + next_y) / 2
            control = f"{number(x)},{number(middle)} {number(next_x)},{number(middle)}"
            path += f" C{control} {number(next_x)},{number(next_y)}"
        x, y = next_x, next_y
    return path
