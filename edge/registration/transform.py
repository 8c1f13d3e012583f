"""A rotation and a shift, which is how fields of one microscope lie on each other."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Share of a plane's side that is no movement: 3 µm of 170.
_NEGLIGIBLE = 0.02


@dataclass(frozen=True, slots=True)
class RigidTransform:
    """Where pixels of one plane lie on another: rotate by ``angle_rad``, then shift. Fine px."""

    angle_rad: float
    x: float
    y: float

    def apply(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Move (n, 2) points."""
        cos, sin = math.cos(self.angle_rad), math.sin(self.angle_rad)
        turned = points @ np.array([[cos, sin], [-sin, cos]])
        return np.asarray(turned + np.array([self.x, self.y]), dtype=np.float64)

    def after(self, first: RigidTransform) -> RigidTransform:
        """Return the transform that does ``first`` and then this one."""
        x, y = self.apply(np.array([[first.x, first.y]]))[0]
        return RigidTransform(self.angle_rad + first.angle_rad, float(x), float(y))

    def inverse(self) -> RigidTransform:
        """Return the transform back."""
        x, y = RigidTransform(-self.angle_rad, 0.0, 0.0).apply(np.array([[-self.x, -self.y]]))[0]
        return RigidTransform(-self.angle_rad, float(x), float(y))

    def is_negligible(self, shape: tuple[int, ...]) -> bool:
        """Whether it moves a plane of this shape by less than a fiftieth of its side."""
        h, w = shape
        corners = np.array([[0.0, 0.0], [w, 0.0], [0.0, h], [w, h]])
        return bool(np.hypot(*(self.apply(corners) - corners).T).max() < _NEGLIGIBLE * w)

    def matrix(self) -> NDArray[np.float64]:
        """Return the (2, 3) matrix that OpenCV takes."""
        cos, sin = math.cos(self.angle_rad), math.sin(self.angle_rad)
        return np.array([[cos, -sin, self.x], [sin, cos, self.y]])
