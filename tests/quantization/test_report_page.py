from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

import nascompiler as nc
from nascompiler.quantization.result import QuantizationResult
from tests.quantization.classifiers import classifier, stacked_images

VOID = {"meta", "br", "hr", "img", "input", "link"}


@pytest.fixture(scope="module")
def result() -> QuantizationResult:
    data = stacked_images(12)
    return nc.quantize(
        classifier(outlier=300.0), calibration=data, max_drop=1.0, sensitivity=2, equalize=False, keep_float=("stem",)
    )


class Balanced(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.ids += [v for k, v in attrs if k == "id" and v]
        self.loads += [v for k in ("src", "href", "xlink:href") if (v := values.get(k)) and not v.startswith("#")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_loads_nothing(result: QuantizationResult) -> None:
    page = result.report.to_html()
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []
    assert len(parser.ids) == len(set(parser.ids))
    assert parser.loads == []
    assert page.count("<svg") == 2
    used = set(re.findall(r"url\(#([^)]+)\)", page)) | set(re.findall(r'href="#([^"]+)"', page))
    assert used
    assert used <= set(parser.ids)


def test_the_page_shows_what_was_found(result: QuantizationResult) -> None:
    page = result.report.to_html()
    for text in ("kept in float as asked", "<h2>Fallback</h2>", "<h2>Sensitivity</h2>", "<h2>Ranges</h2>"):
        assert text in page
    assert str(result.report.verdict).split(":")[0] in page
    for row in result.report.layers:
        assert row.layer in page


def test_the_data_of_the_page_is_that_of_the_json(result: QuantizationResult) -> None:
    page = result.report.to_html()
    (text,) = re.findall(r'<script type="application/json" id="report">(.*?)</script>', page, re.DOTALL)
    assert json.loads(text) == json.loads(json.dumps(result.report.to_json()))


def test_the_same_report_is_the_same_page(result: QuantizationResult) -> None:
    assert result.report.to_html() == result.report.to_html()


def test_names_from_a_model_cannot_break_out(result: QuantizationResult) -> None:
    from dataclasses import replace

    page = replace(result.report, model="</script><b>x</b>").to_html()
    assert "<b>x</b>" not in page


def test_saving(result: QuantizationResult, tmp_path: Path) -> None:
    result.report.save(tmp_path / "q.html")
    assert (tmp_path / "q.html").read_text() == result.report.to_html()
    assert list(tmp_path.iterdir()) == [tmp_path / "q.html"]
