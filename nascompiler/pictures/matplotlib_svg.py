"""Figures of matplotlib as SVG that can stand within a page."""

from __future__ import annotations

import io
import re

import matplotlib
from matplotlib.figure import Figure


def figure_svg(figure: Figure, name: str) -> str:
    """The figure as an element, the same text for the same figure; ids start with `name`: pages hold several."""
    text = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name, "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    return re.sub(r'( id="|url\(#|href="#)', rf"\g<1>{name}-", svg)
