import dataclasses
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_fusion.layers import BilinearAttention
from keras_fusion.layers import LingUNet
from keras_fusion.layers import LocalFullyConnectedFusion
from keras_fusion.layers import LowRankBilinearPooling
from keras_fusion.layers import TextGate
from keras_fusion.types import Tensor


@dataclasses.dataclass(frozen=True)
class TextFusionSettings:
    """The sizes of a fusion of text and map.

    Attributes:
        image_units: Width of the image vector.
        image_kernel: Arguments of its layer for the kernel.
        units: Width of the fused map, or rank.
        depth: Levels of a pyramid.
        kernel_size: Of its convolutions.
        released: Whether it leaves out what its released code leaves out.
        glimpses: Attention maps.
        activate_product: Whether attention activates the product of its
            projections, or each projection before it.
    """

    image_units: int
    image_kernel: dict[str, Any]
    units: int
    depth: int
    kernel_size: int
    released: bool
    glimpses: int
    activate_product: bool


Fuse = Callable[
    [Tensor, Tensor, TextFusionSettings], tuple[Tensor, Tensor | None]
]


@dataclasses.dataclass(frozen=True)
class TextFusion:
    """One of the ways in which `instruction_agent` fuses words and picture.

    `keras_fusion.models.TEXT_FUSIONS` holds them all by name.

    Attributes:
        name: What `instruction_agent` takes as `fusion`.
        description: What happens, in one line.
        fuse: Function from the map of the picture, the text vector and
            `TextFusionSettings` to the image vector and, for the goal, a map
            of features; `None` if words have no influence on it.
        joins: Boolean, whether text and map become one before the joint
            vector.
        arguments: Names of the arguments of `instruction_agent` that have a
            meaning with some fusions, this one among them.

    Example:

    >>> for fusion in keras_fusion.models.TEXT_FUSIONS.values():
    ...     print(f"{fusion.name}: {fusion.description}")
    concat: not before the joint vector, as published
    local_dense: text and each cell of the map go through a perceptron
    text_convolution: a pyramid of the map is filtered by kernels from the text
    text_gate: channels of the map are gated by what they show and the text
    bilinear: the text attends to cells, and is pooled with what they hold
    """

    name: str
    description: str
    fuse: Fuse
    joins: bool = True
    arguments: tuple[str, ...] = ()


def concat(
    maps: Tensor, text: Tensor, settings: TextFusionSettings
) -> tuple[Tensor, Tensor | None]:
    return _image_vector(maps, settings), None


def local_dense(
    maps: Tensor, text: Tensor, settings: TextFusionSettings
) -> tuple[Tensor, Tensor | None]:
    """The text tiled over the map, and a perceptron in every cell."""
    fused = LocalFullyConnectedFusion(
        [settings.units, settings.units], name="local_dense"
    )(maps, text)
    return _image_vector(fused, settings), fused


def text_convolution(
    maps: Tensor, text: Tensor, settings: TextFusionSettings
) -> tuple[Tensor, Tensor | None]:
    fused = LingUNet(
        settings.units,
        depth=settings.depth,
        kernel_size=settings.kernel_size,
        released=settings.released,
        dropout=0.0,
        name="text_convolution",
    )(maps, text)
    height, width = maps.shape[1:3]
    # Odd maps come back one cell larger.
    fused = fused[:, :height, :width]
    return _image_vector(fused, settings), fused


def text_gate(
    maps: Tensor, text: Tensor, settings: TextFusionSettings
) -> tuple[Tensor, Tensor | None]:
    """Our reading of a slide that has only a title, "Plan C"."""
    fused = TextGate(ratio=2, name="text_gate")(maps, text)
    return _image_vector(fused, settings), fused


def bilinear(
    maps: Tensor, text: Tensor, settings: TextFusionSettings
) -> tuple[Tensor, Tensor | None]:
    """A vector in place of the flattened map; the goal is what it attends."""
    pooled, weights = BilinearAttention(
        settings.units,
        num_glimpses=settings.glimpses,
        activate_product=settings.activate_product,
        name="bilinear_attention",
    )(text, maps, return_attention_scores=True)
    fused = LowRankBilinearPooling(
        settings.image_units, rank=2 * settings.units, name="bilinear_pooling"
    )([pooled, text])
    scores = ops.log(weights + 1e-6)
    return fused, ops.transpose(scores, (0, 2, 3, 1))


def _image_vector(maps: Tensor, settings: TextFusionSettings) -> Tensor:
    flat = keras.layers.Flatten(data_format="channels_last", name="flat")(maps)
    dense = keras.layers.Dense(
        settings.image_units, name="image", **settings.image_kernel
    )
    return dense(flat)


TEXT_FUSIONS: dict[str, TextFusion] = {
    fusion.name: fusion
    for fusion in (
        TextFusion(
            "concat",
            "not before the joint vector, as published",
            concat,
            joins=False,
        ),
        TextFusion(
            "local_dense",
            "text and each cell of the map go through a perceptron",
            local_dense,
            arguments=("fusion_units",),
        ),
        TextFusion(
            "text_convolution",
            "a pyramid of the map is filtered by kernels from the text",
            text_convolution,
            arguments=(
                "fusion_units",
                "fusion_depth",
                "fusion_kernel_size",
                "fusion_released",
            ),
        ),
        TextFusion(
            "text_gate",
            "channels of the map are gated by what they show and the text",
            text_gate,
        ),
        TextFusion(
            "bilinear",
            "the text attends to cells, and is pooled with what they hold",
            bilinear,
            arguments=(
                "fusion_units",
                "fusion_glimpses",
                "fusion_activate_product",
            ),
        ),
    )
}
