"""What each repair is worth: signal to noise of the logits, and predictions that agree with the float network's.

    python benchmarks/repair.py [NETWORK...] [--samples 64] [--images 256] [--per-tensor]

NETWORK is a trained network of glyphs-62 (trained first if it is not in the cache). Ranges come from `--samples`
training images, figures from `--images` test images.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np

from nascompiler.data.load import load_dataset
from nascompiler.ir import Array, Graph, evaluate
from nascompiler.passes.equalization.observation import channel_ranges
from nascompiler.passes.equalize_cross_layer import equalize
from nascompiler.passes.quantization.adaptive_rounding import adaptive_rounding
from nascompiler.passes.quantization.bias_correction import corrected_biases, measured_biases
from nascompiler.passes.quantization.calibration import calibrate
from nascompiler.passes.quantization.insertion import insert_fake_quantization
from nascompiler.passes.quantization.parameters import activation_quantization, weight_scales
from nascompiler.passes.quantization.plan import make_plan
from nascompiler.passes.quantization.preparation import prepare
from nascompiler.training.glyph_networks import RECIPES, glyph_network

Samples = list[dict[str, Array]]
EQUALISING = 16
"""Samples for the ranges of channels, and for measured biases."""


def outputs(graph: Graph, samples: Samples) -> Array:
    return np.concatenate([next(iter(evaluate(graph, sample).values())) for sample in samples]).astype(np.float64)


def variants(network: Graph, samples: Samples, per_channel: bool) -> Iterator[tuple[str, Graph]]:
    """The fake-quantised graphs to compare, each with its name."""
    plain, weights_alike, alike = prepare(network), prepare(network), prepare(network)
    equalize(weights_alike)
    equalize(alike, channel_ranges(alike, samples[:EQUALISING]))
    for name, graph, method, more in (
        ("min-max", plain, "min-max", False),
        ("mse", plain, "mse", True),
        ("mse, equalised by weights", weights_alike, "mse", True),
        ("mse, equalised by ranges", alike, "mse", True),
    ):
        plan = make_plan(graph)
        found = calibrate(
            graph, samples, list(plan.values), method=method, dtype=plan.values, groups=plan.groups, limits=plan.limits
        )
        activations = {v: activation_quantization(found.ranges[v], dtype) for v, dtype in plan.values.items()}
        scales = {}
        for node in plan.sums:
            weight = node.operands[1].array
            if weight is not None:
                own = "max" if method == "min-max" else "mse"
                scales[node] = weight_scales(weight, weight.ndim - 1, per_channel=per_channel, method=own)
        fake = insert_fake_quantization(plan, activations, scales)
        yield name, fake
        if more:
            biases = corrected_biases(scales, found.means)
            yield "  + biases by means", insert_fake_quantization(plan, activations, scales, biases=biases)
            biases = measured_biases(graph, fake, scales, samples[:EQUALISING])
            yield "  + biases as measured", insert_fake_quantization(plan, activations, scales, biases=biases)
        if graph is alike:
            chosen = adaptive_rounding(graph, scales, samples)
            biases = corrected_biases(scales, found.means, weights=chosen)
            both = insert_fake_quantization(plan, activations, scales, weight_values=chosen, biases=biases)
            yield "  + adaptive rounding, biases by means", both


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", default=list(RECIPES), metavar="NETWORK")
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--per-tensor", action="store_true", help="one scale for all output channels of a layer")
    options = parser.parse_args()
    data = load_dataset("glyphs-62")
    for name in options.networks:
        network = glyph_network(name)

        def take(split: object, count: int, key: str = network.inputs[0].name) -> Samples:
            images, _ = next(iter(split.batches(count)))  # type: ignore[attr-defined]
            return [{key: image[None]} for image in images]

        samples, images = take(data.train, options.samples), take(data.test, options.images)
        exact = outputs(network, images)
        print(f"{name}: {len(samples)} samples, {len(images)} images")
        for label, graph in variants(network, samples, not options.per_tensor):
            rough = outputs(graph, images)
            noise = 10 * np.log10(np.square(exact).sum() / np.square(np.subtract(exact, rough)).sum())
            agreement = 100 * np.mean(exact.argmax(axis=-1) == rough.argmax(axis=-1))
            print(f"  {label:40} {noise:6.2f} dB   {agreement:6.2f} %", flush=True)


if __name__ == "__main__":
    main()
