"""Maps filtered by, or joined with, a text vector."""

import numpy as np

from keras_fusion import layers
from tests.layers.case import Case


def affine(weights, name, x):
    return x @ weights[f"{name}/kernel"] + weights[f"{name}/bias"]


def convolve(image, kernel, strides=1):
    """Keras's "same" convolution, pixel by pixel."""
    size, filters = kernel.shape[0], kernel.shape[-1]
    rows, columns = (-(-n // strides) for n in image.shape[:2])
    output = np.zeros((rows, columns, filters))
    margins = [
        max((wanted - 1) * strides + size - n, 0) // 2
        for wanted, n in zip((rows, columns), image.shape[:2], strict=True)
    ]
    for i, j in np.ndindex(rows, columns):
        for a, b in np.ndindex(size, size):
            y, x = i * strides - margins[0] + a, j * strides - margins[1] + b
            if 0 <= y < image.shape[0] and 0 <= x < image.shape[1]:
                output[i, j] += image[y, x] @ kernel[a, b]
    return output


def widen(image, kernel, size, strides=2):
    """The transpose of `convolve` from a map of `size`."""
    filters = kernel.shape[2]
    output = np.zeros((*size, filters))
    for index in np.ndindex(*size, filters):
        one = np.zeros((*size, filters))
        one[index] = 1
        output[index] = (convolve(one, kernel, strides) * image).sum()
    return output


def text_kernel(weights, name, text, size, filters):
    kernel = affine(weights, name, text)
    kernel = kernel / np.linalg.norm(kernel)
    return kernel.reshape(size, size, -1, filters)


def text_convolution(size, filters):
    def run(weights, maps, text):
        return np.stack(
            [
                convolve(
                    image, text_kernel(weights, "affine", t, size, filters)
                )
                for image, t in zip(maps, text, strict=True)
            ]
        )

    return run


def leaky(image, slope):
    return np.where(image > 0, image, slope * image)


def standardized(image, epsilon):
    mean, variance = image.mean(axis=(0, 1)), image.var(axis=(0, 1))
    return (image - mean) / np.sqrt(variance + epsilon)


def leaky_normalized(weights, name, image):
    """As the text of the paper has it, with Keras's constants."""
    image = standardized(leaky(image, 0.2), 1e-3)
    return image * weights[f"{name}/gamma"] + weights[f"{name}/beta"]


def leaky_normalized_as_released(weights, name, image):
    """Of two levels the smaller has no norm, the output not even a bend."""
    if name == "widen_norm_0":
        return image
    image = leaky(image, 0.01)
    return standardized(image, 1e-5) if name == "shrink_norm_0" else image


def ling_unet(bend, split):
    def run(weights, maps, text):
        return np.stack(
            [
                one_ling_unet(
                    weights, image, np.split(t, 2) if split else [t, t], bend
                )
                for image, t in zip(maps, text, strict=True)
            ]
        )

    return run


def one_ling_unet(weights, image, texts, bend):
    sizes, filtered = [], []
    for level, t in enumerate(texts):
        # A deconvolution yields twice the size, which is then cut.
        sizes.append(image.shape[:2])
        kernel = weights[f"shrink_{level}/kernel"]
        image = convolve(image, kernel, 2) + weights[f"shrink_{level}/bias"]
        image = bend(weights, f"shrink_norm_{level}", image)
        name = f"text_{level}/affine"
        filters = image.shape[-1]
        filtered.append(
            convolve(image, text_kernel(weights, name, t, 1, filters))
        )
    joined = filtered.pop()
    for level in reversed(range(len(texts))):
        if level < len(texts) - 1:
            joined = np.concatenate([joined, filtered[level]], axis=-1)
        double = [2 * n for n in joined.shape[:2]]
        joined = widen(joined, weights[f"widen_{level}/kernel"], double)
        joined = joined + weights[f"widen_{level}/bias"]
        height, width = sizes[level]
        joined = bend(weights, f"widen_norm_{level}", joined[:height, :width])
    return joined


def local_fully_connected(weights, maps, text, depth=2):
    """With the text copied to every cell, as it is usually drawn."""
    tiles = np.broadcast_to(
        text.reshape(len(text), *[1] * (maps.ndim - 2), text.shape[-1]),
        (*maps.shape[:-1], text.shape[-1]),
    )
    kernel = [weights["cell_0/kernel"], weights["text/kernel"]]
    cells = np.concatenate([maps, tiles], axis=-1) @ np.concatenate(kernel)
    cells = np.maximum(0, cells + weights["cell_0/bias"])
    for n in range(1, depth):
        cells = np.maximum(0, affine(weights, f"cell_{n}", cells))
    return cells


CASES = [
    Case(
        "text_convolution",
        lambda: layers.TextConvolution(3),
        ((6, 4, 5, 2), (6, 4)),
        text_convolution(1, 3),
    ),
    Case(
        "text_convolution_of_neighborhoods",
        lambda: layers.TextConvolution(3, kernel_size=3),
        ((6, 4, 5, 2), (6, 4)),
        text_convolution(3, 3),
    ),
    Case(
        "text_convolution_with_an_even_kernel",
        lambda: layers.TextConvolution(2, kernel_size=2),
        ((6, 3, 4, 2), (6, 4)),
        text_convolution(2, 2),
    ),
    Case(
        "ling_unet",
        lambda: layers.LingUNet(3, depth=2, kernel_size=3, dropout=0.0),
        ((6, 7, 5, 2), (6, 4)),
        ling_unet(leaky_normalized_as_released, split=False),
    ),
    Case(
        "ling_unet_of_the_paper",
        lambda: layers.LingUNet(
            3,
            depth=2,
            kernel_size=3,
            split_conditioning=True,
            released=False,
            dropout=0.0,
        ),
        ((6, 7, 5, 2), (6, 4)),
        ling_unet(leaky_normalized, split=True),
        # Values on both sides of zero, where the activation bends.
        {"beta": [-0.5, 0.3, -0.8]},
    ),
    Case(
        "local_fully_connected_fusion",
        lambda: layers.LocalFullyConnectedFusion([5, 3]),
        ((6, 3, 4, 2), (6, 4)),
        local_fully_connected,
    ),
    Case(
        "local_fully_connected_fusion_of_a_sequence",
        lambda: layers.LocalFullyConnectedFusion([3]),
        ((6, 5, 2), (6, 4)),
        lambda weights, maps, text: local_fully_connected(
            weights, maps, text, depth=1
        ),
    ),
]
