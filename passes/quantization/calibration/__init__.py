"""Ranges of activations from samples: `calibrate` evaluates a graph on them, a method chooses the range."""

from nascompiler.passes.quantization.calibration.calibrate import Calibration, calibrate
from nascompiler.passes.quantization.calibration.collectors import Collector
from nascompiler.passes.quantization.calibration.methods import DEFAULT_METHOD, METHODS, collector_maker
from nascompiler.passes.quantization.ranges import Range

__all__ = ["DEFAULT_METHOD", "METHODS", "Calibration", "Collector", "Range", "calibrate", "collector_maker"]
