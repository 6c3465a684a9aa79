"""How the IR scales: graphs of 10,000 and 20,000 nodes are built, printed, parsed, verified, cloned and rewritten.

    python benchmarks/ir_scale.py [--nodes 10000] [--repeats 3] [--json]

Three graphs: a chain as deep as it has nodes (any recursion over the graph would show), a network of residual blocks
with weights, and a fan of one value into one concat. CPU seconds, the best of a few repeats. Every row has to stay
under 2 s at 10,000 nodes, and to grow about twofold when the graph does; the exit code is 4 when a row does not.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from nascompiler.ir import Builder, Graph, evaluate, fingerprint, graph_cost, parse, print_graph, verify
from nascompiler.ir.analyses import levels, peak_activation_bytes
from nascompiler.ir.channels import channel_structure
from nascompiler.passes import Rule, anything, apply_rules, op, run_pipeline

LIMIT_SECONDS = 2.0
LIMIT_RATIO = 3.5
"""A quadratic step has ratio 4; small ones vary."""


def chain(nodes: int) -> Graph:
    """Activations one after the other."""
    builder = Builder("chain")
    value = builder.input("x", (8,))
    for index in range(nodes):
        value = builder.op(("nn.relu", "nn.tanh", "nn.identity", "nn.exp")[index % 4], value)
    return builder.outputs(y=value)


def network(nodes: int) -> Graph:
    """Residual blocks: convolution, batch norm, relu, add."""
    builder = Builder("network")
    value = builder.input("x", (1, 8, 8, 4))
    generator = np.random.default_rng(0)
    for index in range(nodes // 4):
        weight = builder.constant(generator.random((1, 1, 4, 4), np.float32), f"w{index}")
        scales = [builder.constant(generator.random(4, np.float32)) for _ in range(4)]
        made = builder.nn.conv2d(value, weight, name=f"conv{index}")
        made = builder.nn.relu(builder.nn.batch_norm(made, *scales))
        value = builder.nn.add(value, made)
    return builder.outputs(y=value)


def fan(nodes: int) -> Graph:
    """One value with as many users as there are nodes, and one node with as many operands."""
    builder = Builder("fan")
    x = builder.input("x", (1,))
    wide = builder.nn.relu(x)
    return builder.outputs(y=builder.nn.concat(*(builder.nn.tanh(wide) for _ in range(nodes - 2)), axis=0))


SWEEP = (
    Rule("identity(x) = x", op("nn.identity", anything("x")), lambda match, builder: match["x"]),
    Rule("tanh(x) = sigmoid(x)", op("nn.tanh", anything("x")), lambda match, builder: builder.nn.sigmoid(match["x"])),
    Rule("relu(x) = relu6(x)", op("nn.relu", anything("x")), lambda match, builder: builder.nn.relu6(match["x"])),
)
PIPELINE = "canonicalize,fold-constants,eliminate-common-subexpressions,eliminate-dead-code"


def steps(make: Callable[[int], Graph], nodes: int, repeats: int) -> dict[str, Callable[[], object]]:
    """What is timed. Whatever a step needs is made beforehand; steps that change a graph get their own."""
    graph = make(nodes)
    text = print_graph(graph)
    copies = [graph.clone() for _ in range(repeats)]
    (x,) = graph.inputs
    inputs = {x.name: np.ones(x.type.static_shape, np.float32)}
    found: dict[str, Callable[[], object]] = {
        "build": partial(make, nodes),
        "print": lambda: print_graph(graph),
        "parse": lambda: parse(text),
        "verify": lambda: verify(graph),
        "clone": graph.clone,
        "fingerprint": lambda: fingerprint(graph),
        "cost and memory": lambda: (graph_cost(graph), peak_activation_bytes(graph), levels(graph)),
        "networkx": graph.to_networkx,
        "channel structure": lambda: channel_structure(graph),
        "one rewrite sweep": lambda: apply_rules(copies.pop(), SWEEP),
        "clean-up pipeline": lambda: run_pipeline(graph, PIPELINE),
    }
    if make is not network:
        found["evaluate"] = lambda: evaluate(graph, inputs)
    return found


def cpu_seconds(step: Callable[[], object]) -> float:
    gc.collect()
    start = time.process_time()
    step()
    return time.process_time() - start


def measure(nodes: int, repeats: int) -> Iterator[dict[str, str | float]]:
    for make in (chain, network, fan):
        small, large = steps(make, nodes, repeats), steps(make, 2 * nodes, repeats)
        for name in small:
            # in turns: other work on the machine slows both
            pairs = [(cpu_seconds(small[name]), cpu_seconds(large[name])) for _ in range(repeats)]
            once, twice = (min(times) for times in zip(*pairs, strict=True))
            yield {"graph": make.__name__, "step": name, "cpu_s": once, "cpu_s_twice_the_nodes": twice}


def is_slow(row: dict[str, str | float]) -> bool:
    once, twice = float(row["cpu_s"]), float(row["cpu_s_twice_the_nodes"])
    return once > LIMIT_SECONDS or (twice > LIMIT_RATIO * once and twice > 0.2)


def show(row: dict[str, str | float]) -> None:
    once, twice = float(row["cpu_s"]), float(row["cpu_s_twice_the_nodes"])
    note = "  <- too slow" if is_slow(row) else ""
    ratio = twice / max(once, 1e-9)
    print(f"{row['graph']:8} {row['step']:18} {once:12.3f} s {twice:12.3f} s  {ratio:5.2f}{note}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--nodes", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if not options.json:
        print(f"{'graph':8} {'step':18} {options.nodes:>8} nodes {2 * options.nodes:>8} nodes  ratio")
    rows = []
    for row in measure(options.nodes, options.repeats):
        rows.append(row)
        if not options.json:
            show(row)
    if options.json:
        print(json.dumps(rows, indent=2))
    return 4 if any(map(is_slow, rows)) else 0


if __name__ == "__main__":
    sys.exit(main())
