"""The ways to quantise, by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edge.classification.card import TensorDtype

#: Numbers of weights and activations.
Precision = Literal["int8", "float32"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is done beside TensorFlow's plain min-max conversion.

    Attributes
    ----------
    name : as it stands in the card
    equalise : bring the channels of a convolution nearer to one range (``convert.graph.equalise``)
    correct_bias : take the mean error of rounded weights out of the biases (``convert.graph.biases``)
    narrow_logits : give the logits' steps to where the decision falls (``convert.flatbuffer.logits``)
    float_head : leave what lies behind the convolutions in float, its weights in float16 (int8 only)
    precision : numbers of weights and activations
    """

    name: str
    equalise: bool = False
    correct_bias: bool = False
    narrow_logits: bool = False
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
FLOAT_HEAD = Recipe("float-head", equalise=True, correct_bias=True, float_head=True)
#: Nothing is rounded: what the others are compared with.
FLOAT32 = Recipe("float32", precision="float32")
RECIPES = {recipe.name: recipe for recipe in (PLAIN, REFINED, FLOAT_HEAD, FLOAT32)}
