"""Puts another head on a classifier: SSDLite detection or LR-ASPP segmentation (MobileNetV3, arXiv:1905.02244, §6)."""

from __future__ import annotations

from dataclasses import dataclass

from nascompiler.ir import Graph, UsageError, Value
from nascompiler.ir.errors import choices_text
from nascompiler.passes.expansion.families import family_of
from nascompiler.passes.heads import lr_aspp, ssdlite
from nascompiler.passes.heads.trunk import Trunk, trunk_of
from nascompiler.passes.infrastructure.base import Nothing, Pass, PassContext
from nascompiler.passes.infrastructure.registry import register_pass
from nascompiler.passes.set_resolution import SetResolution

CLASSES = {"classifier": 1000, "ssdlite": 90, "ssdlite-halved": 90, "lr-aspp": 19}
"""The heads, and how many classes the data sets of their papers have (ImageNet, COCO, Cityscapes)."""

SIZES: dict[str, int | str] = {"ssdlite": ssdlite.SIZE, "ssdlite-halved": ssdlite.SIZE, "lr-aspp": lr_aspp.SIZE}
"""The size of image that each head was published for."""

FAMILIES = {
    "mobilenet-v1": ("classifier", "ssdlite"),
    "mobilenet-v2": ("classifier", "ssdlite"),
    "mnasnet": ("classifier", "ssdlite"),
    "mobilenet-v3": tuple(CLASSES),
}
"""What heads the architectures of a family take; others take the classifier alone."""


@register_pass
@dataclass(frozen=True)
class AttachHead(Pass):
    """Replaces the classifier by another `head` with so many `classes` (default: those of the head's paper).

    `ssdlite` (MobileNetV2 §6.2, MobileNetV3 §6.3) predicts boxes on images of 320x320 pixels, `ssdlite-halved` with
    half the channels in the last stage (the paper's "dagger" rows); `lr-aspp` (§6.4, with RF2) labels pixels of
    1024x2048, by `filters` channels in its branches, at `output_stride` 16 or 32. The input takes on that size; use
    set-resolution after it for another. `classifier` keeps the head and changes its `classes`.
    Raises UsageError naming the heads that the architecture's family takes, ModelError where there is no classifier.
    """

    requires_level = ("arch",)
    preserves = Nothing("another head")

    head: str
    classes: int = 0
    filters: int = 128
    output_stride: int = 16

    def __post_init__(self) -> None:
        if self.head not in CLASSES:
            raise ValueError(f"head is {self.head!r}; accepted: {choices_text(CLASSES)}")
        if self.classes < 0:
            raise ValueError(f"classes is {self.classes}; accepted: integers from 1 on, or 0 for those of the paper")
        if self.filters < 1:
            raise ValueError(f"filters is {self.filters}; accepted: integers from 1 on")
        if self.output_stride not in (16, 32):
            raise ValueError(f"output_stride is {self.output_stride}; accepted: 16, 32")

    def run(self, graph: Graph, context: PassContext) -> None:
        family = family_of(graph).name
        accepted = FAMILIES.get(family, ("classifier",))
        if self.head not in accepted:
            raise UsageError(
                f"head is {self.head!r}; accepted for {graph.name} (family {family}): {choices_text(accepted)}"
            )
        if self.head == "classifier":
            self._set_classes(graph)
            return
        trunk = trunk_of(graph)
        graph.set_outputs(self._attached(trunk))
        graph.erase(trunk.head)
        context.count(f"{self.head} attached")
        SetResolution(SIZES[self.head]).run(graph, context)

    def _attached(self, trunk: Trunk) -> dict[str, Value]:
        """The outputs of the new head."""
        classes = self.classes or CLASSES[self.head]
        if self.head == "lr-aspp":
            return lr_aspp.attach(trunk, classes=classes, filters=self.filters, output_stride=self.output_stride)
        return ssdlite.attach(trunk, classes=classes, halved=self.head == "ssdlite-halved")

    def _set_classes(self, graph: Graph) -> None:
        heads = [node for node in graph.nodes if node.op.name == "arch.classifier"]
        if not heads:
            raise UsageError(f"{graph.name} has no classifier any more; attach heads to the architecture as it was")
        for node in heads:
            if self.classes not in (0, node["classes"]):
                graph.set_attributes(node, classes=self.classes)
