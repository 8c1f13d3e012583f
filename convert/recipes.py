"""The ways to quantise, by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edge.classification.card import TensorDtype

#: Numbers of weights and activations: ``int16x8`` has int16 activations and int8 weights, ``dynamic`` int8
#: weights in a float graph, whose inputs to a layer are rounded crop by crop.
Precision = Literal["int8", "int16x8", "dynamic", "float16", "float32"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is done beside TensorFlow's plain min-max conversion.

    Attributes
    ----------
    name : as it stands in the card
    equalise : bring the channels of a convolution nearer to one range (``convert.graph.equalise``)
    correct_bias : take the mean error of rounded weights out of the biases (``convert.quantize``)
    narrow_logits : give the logits' steps to where the decision falls (``convert.quantize``)
    percentile : share of an activation's values, in %, that its range must hold;
        None for all of them (``convert.flatbuffer.ranges``)
    float_head : leave what lies behind the convolutions in float, its weights in float16 (int8 only)
    precision : numbers of weights and activations
    """

    name: str
    equalise: bool = False
    correct_bias: bool = False
    narrow_logits: bool = False
    percentile: float | None = None
    float_head: bool = False
    precision: Precision = "int8"

    @property
    def input_dtype(self) -> TensorDtype:
        """What the network takes."""
        return "int8" if self.precision == "int8" else "float32"

    @property
    def output_dtype(self) -> TensorDtype:
        """What the network gives."""
        return "int8" if self.precision == "int8" and not self.float_head else "float32"


PLAIN = Recipe("plain")
REFINED = Recipe("refined", equalise=True, correct_bias=True, narrow_logits=True)
RECIPES = {
    recipe.name: recipe
    for recipe in (
        PLAIN,
        REFINED,
        # One value in ten thousand is clipped: in the seed network 52 of the first layer's 524,288 a crop.
        Recipe("percentile", equalise=True, correct_bias=True, narrow_logits=True, percentile=99.99),
        Recipe("float-head", equalise=True, correct_bias=True, float_head=True),
        Recipe("int16x8", equalise=True, correct_bias=True, precision="int16x8"),
        Recipe("dynamic", precision="dynamic"),
        Recipe("float16", precision="float16"),
        Recipe("float32", precision="float32"),
    )
}
