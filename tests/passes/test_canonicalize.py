"""One test a rule: before and expected, held against the values before; then networks, and random graphs."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nascompiler.data import models
from nascompiler.ir import Builder, DType, evaluate, graph_cost, verify
from nascompiler.onnx import import_onnx
from nascompiler.passes import PASSES, PassManager, apply_rules, run_pipeline
from nascompiler.passes.canonicalization import canonical_rules
from nascompiler.passes.canonicalization.arithmetic import holds_all_of
from nascompiler.passes.infrastructure.instruments import NumericCheck, Verify

CLEAN = "fixpoint(canonicalize,fold-constants,eliminate-dead-code)"


def body(*lines: str, x: str = "f32[2,3]", returns: str = "y=%y") -> str:
    return "\n  ".join([f"(%x: {x}) {{", *lines, f"return {returns}"]) + "\n}"


NOTHING = {"returns": "y=%x"}
RULES = {
    "identity": (body("%y = nn.identity(%x) : f32[2,3]"), body(**NOTHING)),
    "dropout": (body("%y = nn.dropout(%x) {rate=0.2} : f32[2,3]"), body(**NOTHING)),
    "plus zero": (
        body("constant @c : f32[] = [0.0]", "%y = nn.add(@c, %x) : f32[2,3]"),
        body(**NOTHING),
    ),
    "minus zero": (
        body("constant @c : f32[1,3] = [0.0, 0.0, 0.0]", "%y = nn.sub(%x, @c) : f32[2,3]"),
        body(**NOTHING),
    ),
    "times one": (body("constant @c : f32[1] = [1.0]", "%y = nn.mul(%x, @c) : f32[2,3]"), body(**NOTHING)),
    "by one": (body("constant @c : f32[1] = [1.0]", "%y = nn.div(%x, @c) : f32[2,3]"), body(**NOTHING)),
    "to the power of one": (body("constant @c : f32[1] = [1.0]", "%y = nn.pow(%x, @c) : f32[2,3]"), body(**NOTHING)),
    "times one of a symbolic size": (
        body("constant @c : f32[1] = [1.0]", "%y = nn.mul(%x, @c) : f32[N,?]", x="f32[N,?]"),
        body(x="f32[N,?]", **NOTHING),
    ),
    "constant second": (
        body("constant @c : f32[1] = [2.0]", "%y = nn.mul(@c, %x) : f32[2,3]"),
        body("constant @c : f32[1] = [2.0]", "%y = nn.mul(%x, @c) : f32[2,3]"),
    ),
    "cast to the same": (body("%y = nn.cast(%x) {to=f32} : f32[2,3]"), body(**NOTHING)),
    "cast there and back": (
        body("%a = nn.cast(%x) {to=f64} : f64[2,3]", "%y = nn.cast(%a) {to=f32} : f32[2,3]"),
        body(**NOTHING),
    ),
    "cast twice": (
        body("%a = nn.cast(%x) {to=i64} : i64[2,3]", "%y = nn.cast(%a) {to=f32} : f32[2,3]", x="i8[2,3]"),
        body("%y = nn.cast(%x) {to=f32} : f32[2,3]", x="i8[2,3]"),
    ),
    "clip that is a relu": (
        body("%y = nn.clip(%x) {min=0.0} : f32[2,3]"),
        body("%y = nn.relu(%x) : f32[2,3]"),
    ),
    "clip that is a relu6": (
        body("%y = nn.clip(%x) {min=0.0, max=6.0} : f32[2,3]"),
        body("%y = nn.relu6(%x) : f32[2,3]"),
    ),
    "clip without bounds": (body("%y = nn.clip(%x) : f32[2,3]"), body(**NOTHING)),
    "minimum and maximum": (
        body(
            "constant @low : f32[] = [-1.5]",
            "constant @high : f32[1,1] = [0.25]",
            "%a = nn.maximum(@low, %x) : f32[2,3]",
            "%y = nn.minimum(%a, @high) : f32[2,3]",
        ),
        body("%y = nn.clip(%x) {min=-1.5, max=0.25} : f32[2,3]"),
    ),
    "relu6 as relu and minimum": (
        body("constant @six : f32[] = [6.0]", "%a = nn.relu(%x) : f32[2,3]", "%y = nn.minimum(%a, @six) : f32[2,3]"),
        body("%y = nn.relu6(%x) : f32[2,3]"),
    ),
    "clips that do not meet": (
        body("%a = nn.clip(%x) {max=-1.0} : f32[2,3]", "%y = nn.clip(%a) {min=2.0, max=3.0} : f32[2,3]"),
        body("%y = nn.clip(%x) {min=2.0, max=2.0} : f32[2,3]"),
    ),
    "squeeze": (
        body("%y = nn.squeeze(%x) {axes=[0]} : f32[3]", x="f32[1,3]"),
        body("%y = nn.reshape(%x) {shape=[3]} : f32[3]", x="f32[1,3]"),
    ),
    "unsqueeze": (
        body("%y = nn.unsqueeze(%x) {axes=[0, -1]} : f32[1,2,3,1]"),
        body("%y = nn.reshape(%x) {shape=[1, 2, 3, 1]} : f32[1,2,3,1]"),
    ),
    "flatten with one size open": (
        body("%y = nn.flatten(%x) : f32[N,6]", x="f32[N,2,3]"),
        body("%y = nn.reshape(%x) {shape=[-1, 6]} : f32[N,6]", x="f32[N,2,3]"),
    ),
    "reshape with -1": (
        body("%y = nn.reshape(%x) {shape=[3, -1]} : f32[3,2]"),
        body("%y = nn.reshape(%x) {shape=[3, 2]} : f32[3,2]"),
    ),
    "reshape of reshape": (
        body("%a = nn.reshape(%x) {shape=[6]} : f32[6]", "%y = nn.reshape(%a) {shape=[3, 2]} : f32[3,2]"),
        body("%y = nn.reshape(%x) {shape=[3, 2]} : f32[3,2]"),
    ),
    "reshape there and back": (
        body("%a = nn.flatten(%x) {axis=0} : f32[1,6]", "%y = nn.reshape(%a) {shape=[2, 3]} : f32[2,3]"),
        body(**NOTHING),
    ),
    "reshape of an unknown size to itself": (
        body("%y = nn.reshape(%x) {shape=[-1, 3]} : f32[?,3]", x="f32[?,3]"),
        body(x="f32[?,3]", **NOTHING),
    ),
    "transpose of transpose": (
        body(
            "%a = nn.transpose(%x) {permutation=[1, 2, 0]} : f32[3,4,2]",
            "%y = nn.transpose(%a) {permutation=[1, 0, 2]} : f32[4,3,2]",
            x="f32[2,3,4]",
        ),
        body("%y = nn.transpose(%x) {permutation=[2, 1, 0]} : f32[4,3,2]", x="f32[2,3,4]"),
    ),
    "layout there and back": (
        body(
            "%a = nn.transpose(%x) {permutation=[0, 2, 3, 1]} : f32[2,4,5,3]",
            "%y = nn.transpose(%a) {permutation=[0, 3, 1, 2]} : f32[2,3,4,5]",
            x="f32[2,3,4,5]",
        ),
        body(x="f32[2,3,4,5]", **NOTHING),
    ),
    "reshape of a transpose that moves ones": (
        body(
            "%a = nn.transpose(%x) {permutation=[0, 3, 1, 2]} : f32[N,5,1,1]",
            "%y = nn.reshape(%a) {shape=[-1, 5]} : f32[N,5]",
            x="f32[N,1,1,5]",
        ),
        body("%y = nn.reshape(%x) {shape=[-1, 5]} : f32[N,5]", x="f32[N,1,1,5]"),
    ),
    "transpose of a reshape that moves ones": (
        body(
            "%a = nn.unsqueeze(%x) {axes=[2, 3]} : f32[2,3,1,1]",
            "%y = nn.transpose(%a) {permutation=[0, 2, 3, 1]} : f32[2,1,1,3]",
        ),
        body("%y = nn.reshape(%x) {shape=[2, 1, 1, 3]} : f32[2,1,1,3]"),
    ),
    "slice of everything": (
        body("%y = nn.slice(%x) {axes=[1, 0], starts=[0, -9], ends=[99, 2], steps=[1, 1]} : f32[2,3]"),
        body(**NOTHING),
    ),
    "slice backwards of one": (
        body("%y = nn.slice(%x) {axes=[0], starts=[-1], ends=[-9], steps=[-1]} : f32[1,3]", x="f32[1,3]"),
        body(x="f32[1,3]", **NOTHING),
    ),
    "tile once": (body("%y = nn.tile(%x) {repeats=[1, 1]} : f32[2,3]"), body(**NOTHING)),
    "pad by nothing": (body("%y = nn.pad(%x) {before=[0, 0], after=[0, 0]} : f32[2,3]"), body(**NOTHING)),
    "expand to itself": (body("%y = nn.expand(%x) {shape=[3]} : f32[2,3]"), body(**NOTHING)),
    "expand an unknown size by ones": (
        body("%y = nn.expand(%x) {shape=[1, 1]} : f32[?,3]", x="f32[?,3]"),
        body(x="f32[?,3]", **NOTHING),
    ),
    "reduce over nothing": (body("%y = nn.reduce_max(%x) {axes=[]} : f32[2,3]"), body(**NOTHING)),
    "concat of one": (body("%y = nn.concat(%x) {axis=0} : f32[2,3]"), body(**NOTHING)),
    "concat with nothing": (
        body(
            "constant @none : f32[0,3] = []",
            "%a = nn.concat(%x, @none, %x) {axis=0} : f32[4,3]",
            "%y = nn.relu(%a) : f32[4,3]",
        ),
        body("%a = nn.concat(%x, %x) {axis=0} : f32[4,3]", "%y = nn.relu(%a) : f32[4,3]"),
    ),
    "concat of concat of concat": (
        body(
            "%e = nn.exp(%x) : f32[2,3]",
            "%a = nn.concat(%x, %e) {axis=1} : f32[2,6]",
            "%b = nn.concat(%a, %x) {axis=-1} : f32[2,9]",
            "%y = nn.concat(%e, %b) {axis=1} : f32[2,12]",
        ),
        body("%e = nn.exp(%x) : f32[2,3]", "%y = nn.concat(%e, %x, %e, %x) {axis=1} : f32[2,12]"),
    ),
    "split into one": (body("%y = nn.split(%x) {axis=0, sizes=[2]} : f32[2,3]"), body(**NOTHING)),
    "pad before a convolution": (
        body(
            "constant @w : f32[2,2,1,1] = [1.0, 2.0, 3.0, 4.0]",
            "%a = nn.pad(%x) {before=[0, 1, 0, 0], after=[0, 0, 2, 0]} : f32[1,4,5,1]",
            "%y = nn.conv2d(%a, @w) {padding=[0, 1, 1, 0]} : f32[1,4,5,1]",
            x="f32[1,3,3,1]",
        ),
        body(
            "constant @w : f32[2,2,1,1] = [1.0, 2.0, 3.0, 4.0]",
            "%y = nn.conv2d(%x, @w) {padding=[1, 1, 1, 2]} : f32[1,4,5,1]",
            x="f32[1,3,3,1]",
        ),
    ),
    "pad before an average pool": (
        body(
            "%a = nn.pad(%x) {before=[0, 1, 1, 0], after=[0, 1, 1, 0]} : f32[1,5,5,2]",
            "%y = nn.average_pool2d(%a) {kernel=[3, 3]} : f32[1,3,3,2]",
            x="f32[1,3,3,2]",
        ),
        body(
            "%y = nn.average_pool2d(%x) {kernel=[3, 3], padding=[1, 1, 1, 1], count_include_pad=true} : f32[1,3,3,2]",
            x="f32[1,3,3,2]",
        ),
    ),
    "pad before a maximum pool": (
        body(
            "%a = nn.pad(%x) {before=[0, 1, 1, 0], after=[0, 0, 0, 0], value=-inf} : f32[1,4,4,2]",
            "%y = nn.max_pool2d(%a) {kernel=[2, 2], strides=[2, 2]} : f32[1,2,2,2]",
            x="f32[1,3,3,2]",
        ),
        body(
            "%y = nn.max_pool2d(%x) {kernel=[2, 2], strides=[2, 2], padding=[1, 1, 0, 0]} : f32[1,2,2,2]",
            x="f32[1,3,3,2]",
        ),
    ),
    "mean over the image": (
        body("%y = nn.reduce_mean(%x) {axes=[-2, 1]} : f32[1,1,1,2]", x="f32[1,3,3,2]"),
        body("%y = nn.global_average_pool(%x) : f32[1,1,1,2]", x="f32[1,3,3,2]"),
    ),
    "mean over the image, flat": (
        body("%y = nn.reduce_mean(%x) {axes=[1, 2], keepdims=false} : f32[N,2]", x="f32[N,3,3,2]"),
        body(
            "%a = nn.global_average_pool(%x) : f32[N,1,1,2]",
            "%y = nn.reshape(%a) {shape=[-1, 2]} : f32[N,2]",
            x="f32[N,3,3,2]",
        ),
    ),
    "matmul with a weight": (
        body("constant @w : f32[3,1] = [1.0, 2.0, 3.0]", "%y = nn.matmul(%x, @w) : f32[2,1]"),
        body("constant @w : f32[3,1] = [1.0, 2.0, 3.0]", "%y = nn.linear(%x, @w) : f32[2,1]"),
    ),
    "matmul and bias": (
        body(
            "constant @w : f32[3,2] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]",
            "constant @b : f32[1,2] = [0.5, -0.5]",
            "%a = nn.matmul(%x, @w) : f32[2,2]",
            "%y = nn.add(@b, %a) : f32[2,2]",
        ),
        body(
            "constant @w : f32[3,2] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]",
            "constant @b : f32[2] = [0.5, -0.5]",
            "%y = nn.linear(%x, @w, @b) : f32[2,2]",
        ),
    ),
    "convolution and bias": (
        body(
            "constant @w : f32[1,1,1,2] = [1.0, 2.0]",
            "constant @b : f32[1,1,1,2] = [0.5, -0.5]",
            "%a = nn.conv2d(%x, @w) {strides=[2, 2]} : f32[1,2,2,2]",
            "%y = nn.add(%a, @b) : f32[1,2,2,2]",
            x="f32[1,3,3,1]",
        ),
        body(
            "constant @w : f32[1,1,1,2] = [1.0, 2.0]",
            "constant @b : f32[2] = [0.5, -0.5]",
            "%y = nn.conv2d(%x, @w, @b) {strides=[2, 2]} : f32[1,2,2,2]",
            x="f32[1,3,3,1]",
        ),
    ),
    "dynamic reshape": (
        body("constant @s : i64[2] = [0, -1]", "%y = nn.dynamic_reshape(%x, @s) : f32[2,6]", x="f32[2,3,2]"),
        body("%y = nn.reshape(%x) {shape=[2, 6]} : f32[2,6]", x="f32[2,3,2]"),
    ),
    "dynamic slice": (
        body(
            "constant @s : i64[1] = [1]",
            "constant @e : i64[1] = [9]",
            "constant @a : i64[1] = [1]",
            "%y = nn.dynamic_slice(%x, @s, @e, @a) : f32[2,2]",
        ),
        body("%y = nn.slice(%x) {axes=[1], starts=[1], ends=[9], steps=[1]} : f32[2,2]"),
    ),
    "dynamic expand, tile, pad and resize": (
        body(
            "constant @e : i64[4] = [1, 2, 2, 1]",
            "constant @t : i64[4] = [1, 1, 1, 2]",
            "constant @p : i32[8] = [0, 0, 1, 0, 0, 0, 0, 0]",
            "constant @r : i64[2] = [4, 6]",
            "constant @s : f32[2] = [0.5, 1.0]",
            "%a = nn.dynamic_expand(%x, @e) : f32[1,2,2,1]",
            "%b = nn.dynamic_tile(%a, @t) : f32[1,2,2,2]",
            "%c = nn.dynamic_pad(%b, @p) {value=1.0} : f32[1,2,3,2]",
            "%d = nn.dynamic_resize(%c, @r) : f32[1,4,6,2]",
            "%y = nn.dynamic_resize_scales(%d, @s) : f32[1,2,6,2]",
            x="f32[1,1,1,1]",
        ),
        body(
            "%a = nn.expand(%x) {shape=[1, 2, 2, 1]} : f32[1,2,2,1]",
            "%b = nn.tile(%a) {repeats=[1, 1, 1, 2]} : f32[1,2,2,2]",
            "%c = nn.pad(%b) {before=[0, 0, 1, 0], after=[0, 0, 0, 0], value=1.0} : f32[1,2,3,2]",
            "%d = nn.resize(%c) {size=[4, 6]} : f32[1,4,6,2]",
            "%y = nn.resize(%d) {size=[2, 6], scales=[0.5, 1.0]} : f32[1,2,6,2]",
            x="f32[1,1,1,1]",
        ),
    ),
    "pooling of one pixel": (
        body("%y = nn.max_pool2d(%x) {kernel=[1, 1], strides=[2, 1]} : f32[1,3,4,2]", x="f32[1,5,4,2]"),
        body(
            "%y = nn.slice(%x) {axes=[1, 2], starts=[0, 0], ends=[2147483647, 2147483647], steps=[2, 1]}"
            " : f32[1,3,4,2]",
            x="f32[1,5,4,2]",
        ),
    ),
    "pooling of one pixel by ones": (
        body("%y = nn.average_pool2d(%x) {kernel=[1, 1]} : f32[1,5,4,2]", x="f32[1,5,4,2]"),
        body(x="f32[1,5,4,2]", **NOTHING),
    ),
    "slice of a slice": (
        body(
            "%a = nn.slice(%x) {axes=[1, 0], starts=[1, 2], ends=[-1, 9], steps=[2, 1]} : f32[7,3]",
            "%y = nn.slice(%a) {axes=[-1, 0], starts=[1, 0], ends=[3, 5], steps=[1, 3]} : f32[2,2]",
            x="f32[9,7]",
        ),
        body(
            "%y = nn.slice(%x) {axes=[0, 1], starts=[2, 3], ends=[6, 2147483647], steps=[3, 2]} : f32[2,2]",
            x="f32[9,7]",
        ),
    ),
    "slice of a pad": (
        body(
            "%a = nn.pad(%x) {before=[0, 1, 0], after=[0, 2, 3], value=5.0} : f32[2,8,7]",
            "%y = nn.slice(%a) {axes=[1, 2], starts=[2, 1], ends=[7, 6], steps=[2, 1]} : f32[2,3,5]",
            x="f32[2,5,4]",
        ),
        body(
            "%a = nn.slice(%x) {axes=[1, 2], starts=[1, 1], ends=[2147483647, 2147483647], steps=[2, 1]} : f32[2,2,3]",
            "%y = nn.pad(%a) {before=[0, 0, 0], after=[0, 1, 2], value=5.0} : f32[2,3,5]",
            x="f32[2,5,4]",
        ),
    ),
    "slice of a pad that crops": (
        body(
            "%a = nn.pad(%x) {before=[-1], after=[2]} : f32[6]",
            "%y = nn.slice(%a) {axes=[0], starts=[1], ends=[2147483647], steps=[1]} : f32[5]",
            x="f32[5]",
        ),
        body(
            "%a = nn.slice(%x) {axes=[0], starts=[2], ends=[2147483647], steps=[1]} : f32[3]",
            "%y = nn.pad(%a) {before=[0], after=[2]} : f32[5]",
            x="f32[5]",
        ),
    ),
    "shifted and pooled by one pixel, as NASNet reduces": (
        body(
            "%a = nn.pad(%x) {before=[0, 0, 0, 0], after=[0, 1, 1, 0]} : f32[1,6,6,2]",
            "%b = nn.slice(%a) {axes=[1], starts=[1], ends=[2147483647], steps=[1]} : f32[1,5,6,2]",
            "%c = nn.slice(%b) {axes=[2], starts=[1], ends=[2147483647], steps=[1]} : f32[1,5,5,2]",
            "%y = nn.average_pool2d(%c) {kernel=[1, 1], strides=[2, 2]} : f32[1,3,3,2]",
            x="f32[1,5,5,2]",
        ),
        body(
            "%a = nn.slice(%x) {axes=[1, 2], starts=[1, 1], ends=[2147483647, 2147483647], steps=[2, 2]}"
            " : f32[1,2,2,2]",
            "%y = nn.pad(%a) {before=[0, 0, 0, 0], after=[0, 1, 1, 0]} : f32[1,3,3,2]",
            x="f32[1,5,5,2]",
        ),
    ),
}


def is_static(text: str) -> bool:
    return "?" not in text and "N" not in text


@pytest.mark.parametrize("name", RULES)
def test_rule(name, transforms):
    before, expected = RULES[name]
    transforms(before, "fixpoint(canonicalize,eliminate-dead-code)", expected, evaluated=is_static(before))


STAYS = {
    "zero that broadcasts": body("constant @c : f32[2,1] = [0.0, 0.0]", "%y = nn.add(%x, @c) : f32[2,3]", x="f32[3]"),
    "zero against an unknown size": body(
        "constant @c : f32[2] = [0.0, 0.0]", "%y = nn.add(%x, @c) : f32[2]", x="f32[?]"
    ),
    "nearly one": body("constant @c : f32[] = [1.0000001192092896]", "%y = nn.mul(%x, @c) : f32[2,3]"),
    "one divided": body("constant @c : f32[] = [1.0]", "%y = nn.div(@c, %x) : f32[2,3]"),
    "constant first where order matters": body("constant @c : f32[] = [2.0]", "%y = nn.sub(@c, %x) : f32[2,3]"),
    "narrowing cast": body("%a = nn.cast(%x) {to=f16} : f16[2,3]", "%y = nn.cast(%a) {to=f32} : f32[2,3]"),
    "float cast to an integer": body("%a = nn.cast(%x) {to=f64} : f64[2,3]", "%y = nn.cast(%a) {to=u8} : u8[2,3]"),
    "large integers as limits": body(
        "constant @c : i64[] = [9007199254740993]", "%y = nn.minimum(%x, @c) : i64[2,3]", x="i64[2,3]"
    ),
    "limits that differ": body("constant @c : f32[3] = [1.0, 2.0, 3.0]", "%y = nn.minimum(%x, @c) : f32[2,3]"),
    "not a number as limit": body("constant @c : f32[] = [nan]", "%y = nn.minimum(%x, @c) : f32[2,3]"),
    "fractional bounds of integers": body(
        "%a = nn.clip(%x) {min=0.5} : i32[2,3]", "%y = nn.clip(%a) {max=0.75} : i32[2,3]", x="i32[2,3]"
    ),
    "flip": body("%y = nn.slice(%x) {axes=[0], starts=[-1], ends=[-9], steps=[-1]} : f32[2,3]"),
    "slice of a flip": body(
        "%a = nn.slice(%x) {axes=[0], starts=[-1], ends=[-9], steps=[-1]} : f32[4]",
        "%y = nn.slice(%a) {axes=[0], starts=[0], ends=[2], steps=[1]} : f32[2]",
        x="f32[4]",
    ),
    "slice of a mirrored border": body(
        "%a = nn.pad(%x) {before=[0], after=[2], mode=reflect} : f32[6]",
        "%y = nn.slice(%a) {axes=[0], starts=[2], ends=[6], steps=[1]} : f32[4]",
        x="f32[4]",
    ),
    "slice of padding alone": body(
        "%a = nn.pad(%x) {before=[0], after=[2]} : f32[6]",
        "%y = nn.slice(%a) {axes=[0], starts=[4], ends=[6], steps=[1]} : f32[2]",
        x="f32[4]",
    ),
    "window of two pixels": body(
        "%y = nn.max_pool2d(%x) {kernel=[1, 2], strides=[1, 2]} : f32[1,4,2,2]", x="f32[1,4,4,2]"
    ),
    "transpose that moves more than ones": body(
        "%a = nn.transpose(%x) {permutation=[1, 0]} : f32[3,2]", "%y = nn.reshape(%a) {shape=[6]} : f32[6]"
    ),
    "split with unused parts": body("%y, %z = nn.split(%x) {axis=0, sizes=[1, 1]} : f32[1,3], f32[1,3]"),
    "concat along another axis": body(
        "%a = nn.concat(%x, %x) {axis=0} : f32[4,3]", "%y = nn.concat(%a, %a) {axis=1} : f32[4,6]"
    ),
    "mean over other axes": body("%y = nn.reduce_mean(%x) {axes=[2, 3]} : f32[1,3,1,1]", x="f32[1,3,3,2]"),
    "matmul of two variables": body("%y = nn.matmul(%x, %x) : f32[3,3]", x="f32[3,3]"),
    "two sizes open": body("%y = nn.flatten(%x) : f32[N,?]", x="f32[N,?,?]"),
}


@pytest.mark.parametrize("name", STAYS)
def test_stays(name, transforms):
    transforms(STAYS[name], "canonicalize", evaluated=is_static(STAYS[name]))


PAD = "%a = nn.pad(%x) {{before=[0, 1, 1, 0], after=[0, 1, 1, 0]{}}} : f32[1,5,5,2]"
POOL = "%y = nn.average_pool2d(%a) {{kernel=[{}]{}}} : f32[1,{}]"
MISSES = {
    "a pad of ones": (
        body(PAD.format(", value=1.0"), POOL.format("3, 3", "", "3,3,2"), x="f32[1,3,3,2]"),
        "it pads with 1.0; nn.average_pool2d with 0",
    ),
    "a reflection": (
        body(PAD.format(", mode=reflect"), POOL.format("3, 3", "", "3,3,2"), x="f32[1,3,3,2]"),
        "it does not only add constant rows and columns around the image",
    ),
    "padding that does not count": (
        body(PAD.format(""), POOL.format("3, 3", ", padding=[1, 1, 1, 1]", "5,5,2"), x="f32[1,3,3,2]"),
        "the pool does not count its own padding, but it would count this one",
    ),
    "padding as large as the kernel": (
        body(PAD.format(""), POOL.format("1, 2", "", "5,4,2"), x="f32[1,3,3,2]"),
        "is not smaller than the kernel",
    ),
    "a product with other users": (
        body(
            "constant @w : f32[3,2] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]",
            "constant @b : f32[2] = [0.5, -0.5]",
            "%a = nn.linear(%x, @w) : f32[2,2]",
            "%y = nn.add(%a, @b) : f32[2,2]",
            returns="y=%y, a=%a",
        ),
        "has other users",
    ),
    "a second bias": (
        body(
            "constant @w : f32[3,2] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]",
            "constant @b : f32[2] = [0.5, -0.5]",
            "%a = nn.linear(%x, @w, @b) : f32[2,2]",
            "%y = nn.add(%a, @b) : f32[2,2]",
        ),
        "it has a bias already; adding the two first would round differently",
    ),
    "a bias that broadcasts": (
        body(
            "constant @w : f32[3,2] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]",
            "constant @b : f32[1] = [0.5]",
            "%a = nn.linear(%x, @w) : f32[2,2]",
            "%y = nn.add(%a, @b) : f32[2,2]",
        ),
        "is not one number for each of the 2 output channels",
    ),
    "a half-precision convolution": (
        body(
            "constant @w : f16[1,1,1,2] = [1.0, 2.0]",
            "constant @b : f16[2] = [0.5, -0.5]",
            "%a = nn.conv2d(%x, @w) : f16[1,3,3,2]",
            "%y = nn.add(%a, @b) : f16[1,3,3,2]",
            x="f16[1,3,3,1]",
        ),
        "a half-precision convolution adds its bias before it rounds",
    ),
}


@pytest.mark.parametrize("name", MISSES)
def test_miss_says_why(name, transforms):
    before, reason = MISSES[name]
    timing = transforms(before, "canonicalize")
    assert any(reason in miss[2] for miss in timing.passes["canonicalize"].misses)


def test_a_computed_shape_folds_away_and_types_become_known_behind_it(transforms):
    transforms(
        body(
            "constant @i : i64[1] = [0]",
            "constant @rest : i64[1] = [-1]",
            "%s = nn.shape(%x) : i64[4]",
            "%n = nn.gather(%s, @i) : i64[1]",
            "%t = nn.concat(%n, @rest) {axis=0} : i64[2]",
            "%r = nn.dynamic_reshape(%x, %t) : f32[?,?]",
            "%y = nn.exp(%r) : f32[?,?]",
            x="f32[2,3,4,5]",
        ),
        CLEAN,
        body("%r = nn.reshape(%x) {shape=[2, 60]} : f32[2,60]", "%y = nn.exp(%r) : f32[2,60]", x="f32[2,3,4,5]"),
    )


def test_open_nodes_are_left_alone(transforms):
    transforms(
        """(%x: f32[1,4,4,2]) {
          choice @p = [[0, 0, 0, 0], [1, 1, 1, 1]]
          %a = nn.pad(%x) {before=@q, after=[0, 0, 0, 0]} : f32[*]
          %y = nn.max_pool2d(%a) {kernel=[2, 2], padding=@p} : f32[*]
          choice @q = [[0, 0, 0, 0], [0, 1, 1, 0]]
          return y=%y
        }""",
        CLEAN,
        evaluated=False,
    )


def test_every_rule_counts_under_its_equation(transforms):
    before, expected = RULES["clip that is a relu"]
    timing = transforms(before, "canonicalize", expected)
    assert timing.passes["canonicalize"].counts == {
        "clip(x, 0, 6) = relu6(x), clip(x, 0, inf) = relu(x), clip(x) = x": 1
    }


def test_lossless_casts_hold_every_value():
    for wide in DType:
        for narrow in DType:
            if not holds_all_of(wide, narrow) or narrow is DType.BOOL:
                continue
            info = np.finfo(narrow.numpy) if narrow.is_float else np.iinfo(narrow.numpy)
            values = np.array([info.min, info.max, info.max // 2 + 1 if narrow.is_integer else info.tiny], narrow.numpy)
            there = values.astype(wide.numpy)
            assert np.array_equal(there.astype(narrow.numpy), values), (wide, narrow)
            assert [float(v) for v in there.tolist()] == [float(v) for v in values.tolist()]
    assert not holds_all_of(DType.F64, DType.I64)
    assert not holds_all_of(DType.U64, DType.I8)
    assert holds_all_of(DType.I16, DType.U8)


@pytest.mark.parametrize(
    "model, shape", [("direction", "1x3x48x192"), ("detection", "1x3x64x96"), ("recognition", "1x3x48x64")]
)
def test_ocr_models_become_static_and_keep_their_values(model, shape):
    graph = import_onnx(models.ocr_model(model))
    numeric = NumericCheck()
    manager = PassManager([Verify(), numeric])
    result = manager.run(graph, f'fix-shapes{{shapes="x={shape}"}},{CLEAN}')
    assert all(v.type.is_static for n in result.nodes for v in n.results)
    assert not numeric.skipped
    assert graph_cost(result).macs
    assert manager.run(result, CLEAN) is result


VALUES = st.sampled_from([0.0, 1.0, -1.0, 6.0, 0.5, math.inf, -math.inf])


@st.composite
def graphs(draw):
    """Chains and joins of elementwise and structural ops on [2, 3] and [3, 2], with constants that rules look for."""
    builder = Builder()
    values = [builder.input("x", (2, 3)), builder.input("z", (1, 3))]
    for _ in range(draw(st.integers(1, 12))):
        x = draw(st.sampled_from(values))
        number = builder.constant(np.full(draw(st.sampled_from([(), (1,), (1, 1)])), draw(VALUES), np.float32))
        other = draw(st.sampled_from([*(v for v in values if v.type == x.type), number]))
        rank, shape = x.type.rank, x.type.static_shape
        kind = draw(st.sampled_from(["binary", "clip", "cast", "move", "join", "mean"]))
        if kind == "binary":
            name = draw(st.sampled_from(["add", "sub", "mul", "div", "pow", "minimum", "maximum"]))
            pair = (x, other) if draw(st.booleans()) else (other, x)
            value = builder.op(f"nn.{name}", *pair)
        elif kind == "clip":
            low, high = draw(VALUES), draw(VALUES)
            value = builder.nn.clip(x, min=low, max=high) if draw(st.booleans()) else builder.nn.relu6(x)
        elif kind == "cast":
            value = builder.nn.cast(builder.nn.cast(x, to=draw(st.sampled_from([DType.F64, DType.F16]))), to=DType.F32)
        elif kind == "move":
            moves = {
                "transpose": {"permutation": draw(st.permutations(range(rank)))},
                "reshape": {"shape": draw(st.sampled_from([shape, (-1,), (1, *shape, 1), shape[::-1]]))},
                "unsqueeze": {"axes": (draw(st.integers(0, rank)),)},
                "flatten": {"axis": draw(st.integers(0, rank))},
                "pad": {
                    "before": (draw(st.integers(-1, 1)) if 0 not in shape else 0,) * rank,
                    "after": (draw(st.integers(0, 1)),) * rank,
                },
                "slice": {
                    "axes": tuple(range(rank)),
                    "starts": (draw(st.integers(-2, 2)),) * rank,
                    "ends": (draw(st.integers(2, 9)),) * rank,
                    "steps": (draw(st.sampled_from([1, 1, 2, -1])),) * rank,
                },
                "expand": {"shape": draw(st.sampled_from([shape, (1,), (1, *shape)]))},
            }
            name = draw(st.sampled_from(sorted(moves)))
            value = builder.op(f"nn.{name}", x, **moves[name])
        elif kind == "join":
            value = (
                builder.nn.concat(*([x] * draw(st.integers(1, 3))), axis=draw(st.integers(0, rank - 1))) if rank else x
            )
        else:
            value = builder.nn.reduce_mean(x, axes=draw(st.sampled_from([(), *(((1, 2),) if rank == 4 else ())])))
        if value.type.size <= 2000 and value.type.rank <= 5:
            values.append(value)
    return builder.outputs(**{f"y{i}": v for i, v in enumerate(values[-3:])})


@settings(max_examples=60, deadline=None)
@given(graphs(), st.integers(0, 2**16))
def test_random_graphs_keep_their_values_and_reach_a_fixpoint(graph, seed):
    result = run_pipeline(graph, CLEAN)
    verify(result)
    generator = np.random.default_rng(seed)
    inputs = {v.name: generator.normal(size=v.type.static_shape).astype(np.float32) for v in graph.inputs}
    before, after = evaluate(graph, inputs), evaluate(result, inputs)
    for name, expected in before.items():
        assert np.array_equal(expected, after[name], equal_nan=True)
    assert run_pipeline(result, CLEAN) is result


def test_ten_thousand_nodes_of_each_kind_take_one_sweep():
    builder = Builder()
    x = builder.input("x", (4,))
    value, one = x, builder.constant(np.float32([1]))
    for _ in range(2500):
        value = builder.nn.identity(builder.nn.mul(one, builder.nn.relu(builder.nn.reshape(value, shape=(-1,)))))
    graph = builder.outputs(y=value)
    apply_rules(graph, canonical_rules())
    assert [n.op.name for n in graph.nodes] == ["nn.relu"]


def test_the_pass_is_registered():
    assert PASSES["canonicalize"].__name__ == "Canonicalize"
