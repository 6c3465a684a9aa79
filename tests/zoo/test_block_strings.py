import pytest

from nascompiler import zoo
from nascompiler.ir import UsageError, structurally_equal
from nascompiler.zoo.block_strings import BlockString, mnasnet

A1 = """r1_k3_s11_e1_i32_o16_noskip r2_k3_s22_e6_i16_o24 r3_k5_s22_e3_i24_o40_se0.25 r4_k3_s22_e6_i40_o80
r2_k3_s11_e6_i80_o112_se0.25 r3_k5_s22_e6_i112_o160_se0.25 r1_k3_s11_e6_i160_o320""".split()
B1 = """r1_k3_s11_e1_i32_o16_noskip r3_k3_s22_e3_i16_o24 r3_k5_s22_e3_i24_o40 r3_k5_s22_e6_i40_o80
r2_k3_s11_e6_i80_o96 r4_k5_s22_e6_i96_o192 r1_k3_s11_e6_i192_o320_noskip""".split()
SMALL = """r1_k3_s11_e1_i16_o8_noskip r1_k3_s22_e3_i8_o16 r2_k3_s22_e6_i16_o16 r4_k5_s22_e6_i16_o32_se0.25
r3_k3_s11_e6_i32_o32_se0.25 r3_k5_s22_e6_i32_o88_se0.25 r1_k3_s11_e6_i88_o144""".split()


@pytest.mark.parametrize(
    "name, blocks, options",
    [("mnasnet-a1", A1, {}), ("mnasnet-b1", B1, {}), ("mnasnet-small", SMALL, {"stem": 8, "dropout": 0.0})],
)
def test_the_released_strings_are_the_networks_of_the_zoo(name, blocks, options):
    assert structurally_equal(mnasnet(blocks, **options), zoo.load(name))


@pytest.mark.parametrize("text", [*A1, *B1, *SMALL])
def test_strings_round_trip(text):
    block = BlockString.parse(text)
    assert str(block) == text
    graph = mnasnet([text])
    assert BlockString.of(list(graph.nodes)[1].attributes, block.input_filters) == block


@pytest.mark.parametrize(
    "text, message",
    [
        ("r0_k3_s11_e1_i32_o16", "r .repeats. is '0'; accepted: whole numbers from 1 on"),
        ("r1_k3_s12_e1_i32_o16", "s .stride. is '12'; accepted: the stride twice.*11 or 22"),
        ("r1_k3_s11_e1_i32_o16_se2", "se .se_ratio. is '2'; accepted: numbers from 0 to 1"),
        ("r1_k3_s11_e1_o16", "i .input_filters. is missing"),
        ("r1_k3_s11_ex_i32_o16", "e .expansion. is 'x'; accepted: numbers"),
        ("r1_k3_s11_e1_i32_o16_z9", "unknown field 'z9'; accepted: r, k, s, e, i, o, se with a number, noskip"),
        ("r1_r2_k3_s11_e1_i32_o16", "r .repeats. is given twice"),
        ("", "unknown field ''.*r .repeats. is missing"),
    ],
)
def test_faulty_strings(text, message):
    with pytest.raises(UsageError, match=message):
        BlockString.parse(text)


def test_all_faults_at_once_and_what_strings_cannot_say():
    with pytest.raises(UsageError, match=r"(?s)repeats.*stride"):
        mnasnet(["r0_k3_s11_e1_i32_o16", "r1_k3_s1_e1_i32_o16"])
    attributes = {**list(zoo.load("mnasnet-a1").nodes)[1].attributes, "op": "conv"}
    with pytest.raises(UsageError, match="neither regular convolutions"):
        BlockString.of(attributes, 32)
