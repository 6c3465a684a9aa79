"""Searches on the recorded benchmark: what was trained and measured once is looked up."""

from nascompiler import spaces
from nascompiler.backends.measure import Kind
from nascompiler.search.evaluation import Evaluation, TargetLatency
from nascompiler.search.executors import InProcess
from nascompiler.search.recorded import load
from nascompiler.search.recorded.benchmark import DATA, SPACE
from nascompiler.search.run import run_search
from nascompiler.search.settings import SearchSettings


class Recorded:
    def evaluate(self, trial):
        row = load()[trial.vector]
        latency = TargetLatency(row.latency_ns, Kind.MEASURED, row.spread_ns, 1)
        return Evaluation(row.accuracy, {"cpu": latency}, row.parameters, row.macs, row.curve)


def test_half_the_latency_gives_winners_that_were_measured_to_be_faster(tmp_path):
    ordered = sorted(row.latency_ns for row in load().values())
    aim = max(ordered[len(ordered) // 2], 2 * ordered[len(ordered) // 20])  # half of it can be met
    for seed in range(3):
        found = []
        for part in (1.0, 0.5):
            settings = SearchSettings(SPACE, DATA, ("cpu",), {"cpu": part * aim}, "hard", trials=200, seed=seed)
            path = tmp_path / f"{seed}-{part}.study"
            winner = run_search(settings, path, spaces.load(SPACE), InProcess(Recorded())).winner
            assert winner.meets_latency
            found.append(winner.evaluation.latencies["cpu"].ns)
        assert found[1] < found[0]
