from nascompiler.ir import Builder, Graph, SymbolRef
from nascompiler.passes import run_pipeline

DEAD = """(%x: f32[2], %unused: f32[3]) {
  %a = nn.relu(%x) : f32[2]
  %b = nn.exp(%a) : f32[2]
  %c = nn.log(%b) : f32[2]
  %d = nn.tanh(%a) : f32[2]
  return y=%d
}"""


def test_a_chain_that_leads_nowhere_goes_in_one_sweep_and_inputs_stay(transforms):
    timing = transforms(
        DEAD,
        "eliminate-dead-code",
        """(%x: f32[2], %unused: f32[3]) {
          %a = nn.relu(%x) : f32[2]
          %d = nn.tanh(%a) : f32[2]
          return y=%d
        }""",
    )
    assert timing.passes["eliminate-dead-code"].counts == {"nodes removed": 2}


def test_a_node_with_one_result_in_use_stays(transforms):
    transforms(
        """(%x: f32[4]) {
          %a, %b = nn.split(%x) {axis=0, sizes=[2, 2]} : f32[2], f32[2]
          return y=%b
        }""",
        "eliminate-dead-code",
    )


def test_cells_are_cleaned_too():
    builder = Builder("cell")
    x = builder.input("x", (2,))
    builder.nn.exp(x)
    graph = Builder()
    graph.outputs(y=graph.nn.relu(graph.input("x", (2,))))
    graph.graph.cells["cell"] = builder.outputs(y=builder.nn.relu(x))
    graph.graph.attributes["cell"] = SymbolRef("cell")
    result = run_pipeline(graph.graph, "eliminate-dead-code")
    assert [n.op.name for n in result.cells["cell"].nodes] == ["nn.relu"]
    assert len(graph.graph.cells["cell"]) == 2


def test_ten_thousand_dead_nodes():
    graph = Graph()
    value = x = graph.add_input("x", Builder().input("x", (1,)).type)
    for _ in range(10_000):
        value = graph.insert("nn.relu", [value]).result
    graph.set_outputs({"y": x})
    assert len(run_pipeline(graph, "eliminate-dead-code")) == 0
