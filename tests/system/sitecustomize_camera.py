"""Copied as sitecustomize.py into a machine: its picamera2 opens libcamera's virtual camera.

The virtual camera has no sensor modes to list, and its memory needs no Raspberry Pi. Nothing of the program
is changed.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

#: Of the pictures in virtual.yaml.
SIZE = (1280, 960)


class Finder(importlib.abc.MetaPathFinder):
    """Finds picamera2 where it is installed, and puts another class in the place of its camera."""

    def find_spec(self, name: str, path: object, target: ModuleType | None = None) -> ModuleSpec | None:
        """See :class:`importlib.abc.MetaPathFinder`."""
        if name != "picamera2":
            return None
        sys.meta_path.remove(self)
        try:
            spec = importlib.util.find_spec(name)
        finally:
            sys.meta_path.insert(0, self)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            module.Picamera2 = virtual(module.Picamera2)  # type: ignore[attr-defined]  # a module has what it has

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]  # for this one import
        return spec


def virtual(camera_class: Any) -> Any:
    """Make the class whose cameras have no modes and take their memory from libcamera."""
    from picamera2.allocators import LibcameraAllocator

    class VirtualPicamera2(camera_class):
        def __init__(self, number: int = 0) -> None:
            super().__init__(number, allocator=False)
            self.allocator = LibcameraAllocator(self.camera)

        def _get_raw_modes(self) -> list[dict[str, Any]]:
            return [{"format": "NV12", "size": SIZE}]

    return VirtualPicamera2


sys.meta_path.insert(0, Finder())
