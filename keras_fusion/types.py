"""Names for what signatures of the library take and return."""

from typing import Any
from typing import TypeAlias

Tensor: TypeAlias = Any
"""A tensor of the backend, eager or symbolic, or what it makes one of."""

Shape: TypeAlias = tuple[int | None, ...]
"""Axis lengths; None is an axis of any length."""
