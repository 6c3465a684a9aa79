"""A pass of one's own: `nascompiler opt net.nir --load examples/my_passes.py --passes 'cap-relu{limit=6}'`."""

from nascompiler.ir import Graph
from nascompiler.passes import Nothing, Pass, PassContext, Rewriter, register_pass


@register_pass
class CapRelu(Pass):
    """Caps every relu at a limit."""

    limit: float = 6.0
    preserves = Nothing("values above the limit change")

    def run(self, graph: Graph, context: PassContext) -> None:
        for node in [n for n in graph.nodes if n.op.name == "nn.relu"]:
            Rewriter(graph).replace_op(node, "nn.clip", node.operands, min=0.0, max=self.limit)
