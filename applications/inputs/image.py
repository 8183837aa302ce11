"""Images of one modality: read, check, resize, normalize, show.

An image is an array (height, width, channels), uint8, uint16 or float32. One
rule holds for every file: whole numbers are counts of a sensor, from 0 to
65535 whatever their width, and stay what they are; floats are metric, and
become float32. What does not fit is refused.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal
from typing import NamedTuple

import numpy as np
from PIL import Image
from PIL import ImageDraw
from PIL import ImageFile

# Twice as many pixels are refused: 1.6 GB in color.
Image.MAX_IMAGE_PIXELS = 2**28
PICTURES = (
    *(".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg"),
    *(".png", ".tif", ".tiff", ".webp"),
)
EXTENSIONS = (*PICTURES, ".npy")
GRAY_MODES = ("1", "L", "LA")
# Of TIFF.
BITS_PER_SAMPLE = 258
# Of EXIF: where the first row and column of a stored image belong.
ORIENTATION = 0x0112
ORIENTATIONS = {
    2: np.fliplr,
    3: lambda pixels: np.rot90(pixels, 2),
    4: np.flipud,
    5: lambda pixels: np.swapaxes(pixels, 0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: np.rot90(np.swapaxes(pixels, 0, 1), 2),
    8: np.rot90,
}
MOST = 2**16 - 1
HEADER_HEIGHT = 14
MARGIN = 2
EPSILON = 1e-6
Interpolation = Literal["bilinear", "cubic", "nearest"]
IMAGENET_MEAN = np.array((0.485, 0.456, 0.406), "float32")
IMAGENET_DEVIATION = np.array((0.229, 0.224, 0.225), "float32")


class Header(NamedTuple):
    size: tuple[int, int]
    """Height and width."""
    channels: int


class NormalizedImage(NamedTuple):
    """An image that becomes `(image - offset) * factor` wherever it is read."""

    image: np.ndarray
    offset: np.ndarray | float
    factor: np.ndarray | float

    def values(self) -> np.ndarray:
        image = self.image.astype("float32")
        return (image - self.offset) * self.factor


def as_color(channels: int) -> int:
    """A gray image is read as three equal channels, and may stand by color."""
    return 3 if channels == 1 else channels


def read_header(path: Path) -> Header:
    if path.suffix.lower() == ".npy":
        shape = open_array(path).shape
        return Header(shape[:2], shape[2] if len(shape) == 3 else 1)
    with open_image(path) as image:
        gray = image.mode in GRAY_MODES or image.mode[0] in "IF"
        return Header(upright_size(image), 1 if gray else 3)


def read(path: Path) -> np.ndarray:
    """One image as (height, width, channels), uint8, uint16 or float32."""
    if path.suffix.lower() == ".npy":
        return _numbers(open_array(path), path)
    image = decode(path)
    depth = bits(image, path)
    if image.format == "PNG" and depth == 16:
        return upright(_read_16_bit(path), image)
    if image.mode[0] in "IF":
        return upright(_numbers(np.asarray(image), path), image)
    if depth > 8:
        raise ValueError(
            f"{path} has {depth} bits a channel in color; expected 8, or 16 in "
            "a PNG or NPY file"
        )
    if image.mode in GRAY_MODES:
        return upright(np.asarray(image.convert("L"))[..., None], image)
    return upright(np.asarray(image.convert("RGB")), image)


def upright(pixels: np.ndarray, image: Image.Image) -> np.ndarray:
    """Turns pixels as the EXIF orientation of their file says."""
    turn = ORIENTATIONS.get(_orientation(image))
    return np.ascontiguousarray(turn(pixels)) if turn else pixels


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Height and width of an image after it was turned."""
    size = (image.height, image.width)
    return size[::-1] if _orientation(image) >= 5 else size


def _orientation(image: Image.Image) -> int:
    # That of PNG images alone would decode the pixels first.
    return Image.Image.getexif(image).get(ORIENTATION, 1)


def of_own_statistics(image: np.ndarray) -> NormalizedImage:
    """An image brought to mean 0 and deviation 1."""
    pixels = image.astype("float32")
    factor = 1 / (pixels.std() + np.float32(EPSILON))
    return NormalizedImage(image, pixels.mean(), factor)


def of_published_constants(
    image: np.ndarray, is_rgb: bool, count_factor: float
) -> NormalizedImage:
    """Color by ImageNet's mean and deviation, counts by a factor."""
    if is_rgb:
        return NormalizedImage(
            image, IMAGENET_MEAN * 255, 1 / (IMAGENET_DEVIATION * 255)
        )
    metric = image.dtype.kind == "f"
    return NormalizedImage(
        image, 0.0, np.float32(1.0 if metric else count_factor)
    )


def resize(
    image: np.ndarray, size: tuple[int, int], how: Interpolation = "bilinear"
) -> np.ndarray:
    """To (height, width), in float32; bilinear is antialiased."""
    image = image.astype("float32", copy=False)
    if image.shape[:2] == tuple(size):
        return image
    if how == "cubic":
        height, width = (
            cubic_weights(old, new)
            for old, new in zip(image.shape, size, strict=False)
        )
        return width @ np.tensordot(height, image, 1)
    planes = [
        Image.fromarray(np.ascontiguousarray(image[..., channel])).resize(
            size[::-1], Image.Resampling[how.upper()]
        )
        for channel in range(image.shape[2])
    ]
    return np.stack([np.asarray(plane) for plane in planes], axis=-1)


def cubic_weights(size: int, new_size: int) -> np.ndarray:
    """OpenCV's cubic interpolation of an axis: float32 (new_size, size)."""
    positions = (np.arange(new_size) + 0.5) * size / new_size - 0.5
    weights = np.zeros((new_size, size), "float32")
    rows = np.arange(new_size)
    for tap in (-1, 0, 1, 2):
        pixels = np.floor(positions).astype(int) + tap
        d = np.abs(positions - pixels)
        near = 1 - 2.25 * d**2 + 1.25 * d**3
        far = 3 - 6 * d + 3.75 * d**2 - 0.75 * d**3
        weights[rows, np.clip(pixels, 0, size - 1)] += np.where(
            d <= 1, near, far
        )
    return weights


def resize_as_stored(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The same, in the data type of the image."""
    resized = resize(image, size)
    if image.dtype.kind == "u":
        resized = np.rint(resized)
    return resized.astype(image.dtype)


def as_stored_square(image: np.ndarray, side: int) -> np.ndarray:
    """An image in color, squeezed to a square, in its data type."""
    return resize_as_stored(three_channels(image), (side, side))


def three_channels(image: np.ndarray) -> np.ndarray:
    """A gray image as three equal channels."""
    return np.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else image


def in_words(arrays: Iterable[np.ndarray]) -> str:
    """Sizes, channels and values of images of one modality."""
    shapes, kinds, low, high = set(), set(), [], []
    for array in arrays:
        shapes.add(array.shape)
        kinds.add(array.dtype.name)
        low.append(array.min())
        high.append(array.max())
    sizes = [" x ".join(map(str, shape[:2])) for shape in sorted(shapes)]
    size = sizes[0] if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    channels = " or ".join(map(str, sorted({shape[2] for shape in shapes})))
    channels += " channel" if channels == "1" else " channels"
    return (
        f"{size} pixels, {channels}, {' or '.join(sorted(kinds))} "
        f"from {min(low):.6g} to {max(high):.6g}"
    )


def displayed(image: np.ndarray) -> np.ndarray:
    """A standardized image, its middle 98 % stretched over uint8."""
    image = image[..., :3]
    low, high = np.percentile(image, (1, 99))
    share = (image - low) / max(high - low, 1e-6)
    return np.round(255 * np.clip(share, 0, 1)).astype("uint8")


def panel(columns: list[tuple[str, list[np.ndarray]]]) -> np.ndarray:
    """Columns of uint8 images of one size, each under its title."""
    height, width = columns[0][1][0].shape[:2]
    rows = len(columns[0][1])
    canvas = Image.new(
        "RGB",
        (
            len(columns) * (width + MARGIN) - MARGIN,
            HEADER_HEIGHT + rows * (height + MARGIN) - MARGIN,
        ),
        "white",
    )
    text = ImageDraw.Draw(canvas)
    for column, (title, images) in enumerate(columns):
        left = column * (width + MARGIN)
        text.text((left + 2, 1), title, fill="black")
        for row, image in enumerate(images):
            top = HEADER_HEIGHT + row * (height + MARGIN)
            canvas.paste(Image.fromarray(image), (left, top))
    return np.asarray(canvas)


def open_image(path: Path) -> ImageFile.ImageFile:
    """An image whose pixels are not decoded yet."""
    try:
        image = Image.open(path)
    except Image.DecompressionBombError as error:
        raise ValueError(
            f"{path} is too large ({error}); make it smaller first"
        ) from error
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(
            f"{path} could not be read as an image; replace it, or take it away"
        ) from error
    # Cameras put a preview behind a picture and call it MPO.
    if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
        image.close()
        raise ValueError(
            f"{path} holds {image.n_frames} pictures; expected one a file"
        )
    return image


def decode(path: Path) -> ImageFile.ImageFile:
    with open_image(path) as image:
        try:
            image.load()
        except (OSError, SyntaxError, ValueError) as error:
            raise ValueError(
                f"{path} is damaged or cut short ({error}); replace it, or "
                "take it away"
            ) from error
        return image


def bits(image: Image.Image, path: Path) -> int:
    """Bits of a channel as they are stored.

    Pillow cuts 16-bit color down to 8 bits in silence.
    """
    if image.format == "TIFF":
        return max(image.tag_v2.get(BITS_PER_SAMPLE, (1,)))
    if image.format == "PNG":
        with path.open("rb") as file:
            return file.read(25)[24]
    return 32 if image.mode[0] in "IF" else 8


def open_array(path: Path) -> np.ndarray:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(
            f"{path} could not be read as an array of numbers; save it with "
            "numpy.save"
        ) from error
    if not isinstance(array, np.ndarray):
        array.close()
        raise ValueError(
            f"{path} is a NPZ archive; expected one array, saved with "
            "numpy.save"
        )
    numeric = array.dtype.kind in "fui"
    if not numeric or array.ndim not in (2, 3) or 0 in array.shape:
        raise ValueError(
            f"{path} is {array.dtype} of shape {array.shape}; expected numbers "
            "of shape (height, width) or (height, width, channels)"
        )
    return array


def _numbers(array: np.ndarray, path: Path) -> np.ndarray:
    """Counts or metric values by the rule of all files."""
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):
            array = array.astype("float32")
        if not np.isfinite(array).all():
            raise ValueError(
                f"{path} holds values that are not finite in single "
                "precision; write 0 for missing"
            )
    elif array.dtype != "uint8":
        if array.min() < 0 or array.max() > MOST:
            raise ValueError(
                f"{path} holds whole numbers from {array.min()} to "
                f"{array.max()}; expected counts from 0 to {MOST}; save "
                "measurements as floats"
            )
        array = array.astype("uint16")
    return np.array(array).reshape(*array.shape[:2], -1)


def _read_16_bit(path: Path) -> np.ndarray:
    import tensorflow as tf

    try:
        image = tf.io.decode_png(path.read_bytes(), dtype="uint16")
    except tf.errors.InvalidArgumentError as error:
        raise ValueError(
            f"{path} is damaged or cut short; replace it, or take it away"
        ) from error
    image = image.numpy()
    return image[..., : 1 if image.shape[-1] < 3 else 3]
