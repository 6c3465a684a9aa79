"""An op that applies an activation to its result is the op followed by the activation, bit for bit."""

import numpy as np
import pytest

from tests.ir.dialects.nn.running import infer, run
from tests.ir.op_examples import EXAMPLES

FUSED = [e for e in EXAMPLES if "activation" in e.attributes and e.op != "nn.squeeze_excite"]


@pytest.mark.parametrize("example", FUSED, ids=str)
def test_a_fused_activation_is_the_activation_of_the_result(example):
    attributes = {**example.attributes, "activation": "none"}
    plain = run(example.op.removeprefix("nn."), *example.operands, **attributes)
    np.testing.assert_array_equal(run(example.attributes["activation"], plain), example.results()[0])


def test_a_fused_activation_leaves_the_shape():
    assert infer("linear", ("N", 3), (3, 4), activation="relu") == ("N", 4)
    assert infer("conv2d", ("N", 4, 4, 3), (3, 3, 3, 5), activation="hard_swish") == ("N", 2, 2, 5)
