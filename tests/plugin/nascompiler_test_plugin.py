"""The smallest useful plugin: an op `plugin.double`, and a pass that finds where it fits."""

from nascompiler.ir import OpDef, Operand, TensorType, register_op
from nascompiler.passes import RewritePass, Rule, anything, op, register_pass

register_op(
    OpDef(
        name="plugin.double",
        summary="x + x.",
        operands=(Operand("x"),),
        infer=lambda x: TensorType(x.shape, x.dtype),
        evaluate=lambda x: x + x,
    )
)


@register_pass
class UsePluginDouble(RewritePass):
    """x + x = double(x)."""

    rules = (
        Rule(
            "x + x = double(x)",
            op("nn.add", anything("x"), anything("x")),
            lambda match, builder: builder.op("plugin.double", match["x"]),
        ),
    )
