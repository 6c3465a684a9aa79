import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from nascompiler.backends.measure import Kind
from nascompiler.cli.study import show
from nascompiler.ir import UsageError
from nascompiler.search.report.curves import baseline, expected_best, moving_mean
from nascompiler.search.report.page import page, save_report
from tests.search.test_run import SETTINGS, run, slower


class Text(HTMLParser):
    """What a reader sees of a page, and how many pictures it holds."""

    def __init__(self, html):
        super().__init__()
        self.said, self.pictures = [], 0
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.pictures += tag == "figure"

    def handle_data(self, data):
        self.said.append(data)


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "a.study"
    return run(path, measure_top=slower([1.2]))


def test_everything_is_on_the_page(result, tmp_path):
    save_report(result, tmp_path / "a.html")
    html = (tmp_path / "a.html").read_text(encoding="utf-8")
    seen = Text(html)
    text = " ".join(seen.said)
    assert f"Trial {result.winner.number} wins" in text
    assert seen.pictures == 4  # front, rewards, latencies, the network
    for name, option in result.space.decode(result.winner.trial.vector).items():
        assert name in text
        assert str(option) in text
    assert "60 of 60 trials" in text
    assert not re.search(r'(src|href)="https?:', html)


def test_the_figures_are_in_it_as_data(result):
    html = page(result)
    data = json.loads(re.search(r'<script type="application/json" id="report">(.*)</script>', html)[1])
    assert data["winner"]["trial"] == result.winner.number
    assert [row["reward"] for row in data["trajectory"]] == pytest.approx([t.told for t in result.trials])


def test_latencies_of_the_best_say_how_they_came_about(result, capsys):
    simulated = [replace(f, measured=replace(f.measured, kind=Kind.SIMULATED)) for f in result.finals]
    on_a_simulator = replace(result, finals=simulated)
    assert "Measured end to end" in page(result)
    assert "Simulated end to end" in page(on_a_simulator)
    show(on_a_simulator)
    assert "the best, simulated end to end" in capsys.readouterr().out


def test_the_same_study_gives_the_same_page(result):
    assert page(result) == page(result)


def test_random_search_is_another_study_or_the_first_draws(result, tmp_path):
    other = run(tmp_path / "random.study", replace(SETTINGS, controller="random", trials=80))
    first, against = baseline(result), baseline(result, other)
    assert len(first.expected_best) == 10
    assert len(against.expected_best) == 80
    assert against.mean == pytest.approx(np.mean([t.told for t in other.trials]))
    assert against.expected_best[0] == pytest.approx(against.mean)
    assert against.expected_best[-1] == pytest.approx(max(t.told for t in other.trials))
    assert "80 trials of random.study (random)" in page(result, against=other)


def test_a_study_of_another_space_is_no_comparison(result):
    graph = result.space.graph.clone()
    graph.choices = dict(list(graph.choices.items())[:-1])
    other = replace(result, space=type(result.space)(graph))
    with pytest.raises(UsageError, match=r"a.study searches synthetic, not"):
        page(result, against=other)


def test_a_study_without_anything_worth_having_has_a_page(tmp_path):
    nothing = run(tmp_path / "b.study", replace(SETTINGS, constraints=("params<=10",), trials=3))
    assert "No architecture meets the constraints." in page(nothing)


def test_expected_best_is_the_mean_over_all_draws():
    draws = np.array([0.3, 0.9, 0.1, 0.5, 0.5])
    generator = np.random.default_rng(0)
    orders = np.array([generator.permutation(draws) for _ in range(20_000)])
    simulated = np.maximum.accumulate(orders, axis=1).mean(axis=0)
    assert expected_best(draws) == pytest.approx(simulated, abs=5e-3)


def test_moving_mean():
    assert moving_mean([1, 2, 3, 4], 2) == pytest.approx([1, 1.5, 2.5, 3.5])
