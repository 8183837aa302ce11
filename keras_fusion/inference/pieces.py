"""A tensor whose channels are spread over several others."""

import dataclasses

import numpy as np

from keras_fusion.types import Tensor


@dataclasses.dataclass(frozen=True, eq=False)
class Piece:
    """A new tensor and which channels of an old one it has, in its order."""

    tensor: Tensor
    channels: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Pieces:
    """New tensors that have together what is read of an old one."""

    axis: int
    pieces: list[Piece]

    @property
    def tensors(self) -> list[Tensor]:
        return [piece.tensor for piece in self.pieces]

    @property
    def channels(self) -> np.ndarray:
        return np.concatenate([piece.channels for piece in self.pieces])
