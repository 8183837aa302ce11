import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from PIL import ImageOps

from applications.datasets.class_folders import ImageFiles
from applications.datasets.class_folders import shape_of
from applications.inputs import image as images
from applications.inputs import mask as masks


def png(path, values, depth, color_type=0, palette=None):
    """Writes a PNG of any bit depth, as Pillow does not."""
    bits = np.unpackbits(values[..., None].astype("uint8"), axis=-1)
    rows = bits[..., 8 - depth :].reshape(len(values), -1)
    lines = b"".join(b"\0" + np.packbits(row).tobytes() for row in rows)

    def chunk(kind, content):
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    height, width = values.shape
    header = struct.pack(">2I5B", width, height, depth, color_type, 0, 0, 0)
    parts = [chunk(b"IHDR", header)]
    if palette is not None:
        parts.append(chunk(b"PLTE", palette))
    parts += [chunk(b"IDAT", zlib.compress(lines)), chunk(b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    return path


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
@pytest.mark.parametrize("color_type", [0, 3])
def test_indices_are_read_as_they_are_stored(tmp_path, depth, color_type):
    count = min(2**depth, 6)
    indices = np.arange(21).reshape(3, 7) % count
    palette = bytes(range(3 * count)) if color_type == 3 else None
    path = png(tmp_path / "mask.png", indices, depth, color_type, palette)
    np.testing.assert_array_equal(masks.read(path, count), indices)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_by_both_readers(tmp_path, orientation, rng):
    stored = Image.fromarray(rng.integers(0, 255, (4, 6, 3)).astype("uint8"))
    exif = Image.Exif()
    exif[images.ORIENTATION] = orientation
    path = tmp_path / "a.png"
    stored.save(path, exif=exif)
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(images.read(path), expected)
    assert images.read_header(path).size == expected.shape[:2]
    assert shape_of(path) == expected.shape
    (classified,) = ImageFiles([path], expected.shape, resized=False)[[0]]
    np.testing.assert_array_equal(classified, expected)


def test_a_mask_is_turned_as_its_own_file_says(tmp_path):
    indices = np.arange(12).reshape(3, 4).astype("uint8")
    exif = Image.Exif()
    exif[images.ORIENTATION] = 6
    Image.fromarray(indices).save(tmp_path / "mask.png", exif=exif)
    turned = masks.read(tmp_path / "mask.png", 12)
    np.testing.assert_array_equal(turned, np.rot90(indices, -1))


@pytest.mark.parametrize("kind", ["uint16", "int32", ">u2", ">i4", "int64"])
def test_counts_of_any_width_stay_counts(tmp_path, kind):
    counts = np.array([[0, 1, 300], [5, 65535 if kind != "int32" else 9, 7]])
    np.save(tmp_path / "depth.npy", counts.astype(kind))
    array = images.read(tmp_path / "depth.npy")
    assert array.dtype == np.uint16
    np.testing.assert_array_equal(array[..., 0], counts)


@pytest.mark.parametrize("kind", ["float16", "float64", ">f4"])
def test_floats_of_any_width_stay_metric(tmp_path, kind):
    meters = np.array([[0.5, 2.25], [-1.0, 100.0]])
    np.save(tmp_path / "depth.npy", meters.astype(kind))
    array = images.read(tmp_path / "depth.npy")
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array[..., 0], meters)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([[-1, 2]]), "whole numbers from -1 to 2; expected counts"),
        (np.array([[1, 70000]]), "save measurements as floats"),
        (np.array([[1e300, 0.0]]), "not finite in single precision"),
    ],
)
def test_numbers_that_would_change_are_refused(tmp_path, values, message):
    np.save(tmp_path / "depth.npy", values)
    with pytest.raises(ValueError, match=message):
        images.read(tmp_path / "depth.npy")


def test_an_archive_named_npy_is_refused(tmp_path):
    np.savez(tmp_path / "depth.npz", np.zeros((3, 3)))
    path = (tmp_path / "depth.npz").rename(tmp_path / "depth.npy")
    with pytest.raises(ValueError, match="depth.npy is a NPZ archive; expect"):
        images.read(path)


def tiff(path, values, depth, photometric=1):
    """Writes a TIFF of any bit depth, gray or in color, as Pillow does not."""
    height, width, channels = values.shape
    if depth == 16:
        content = values.astype("<u2").tobytes()
    else:
        bits = np.unpackbits(values[..., 0, None].astype("uint8"), axis=-1)
        rows = np.packbits(bits[..., 8 - depth :].reshape(height, -1), axis=1)
        content = rows.tobytes()
    count = 9
    depths = 8 + 2 + 12 * count + 4
    start = depths + 2 * channels
    entries = [
        (256, 3, 1, width),
        (257, 3, 1, height),
        (258, 3, channels, depth if channels == 1 else depths),
        (259, 3, 1, 1),
        (262, 3, 1, photometric),
        (273, 4, 1, start),
        (277, 3, 1, channels),
        (278, 3, 1, height),
        (279, 4, 1, len(content)),
    ]
    packed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    path.write_bytes(
        struct.pack("<2sHIH", b"II", 42, 8, count)
        + packed
        + struct.pack("<I", 0)
        + struct.pack(f"<{channels}H", *[depth] * channels)
        + content
    )
    return path


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_indices_in_a_tiff_are_read_as_they_are_stored(tmp_path, depth):
    indices = np.arange(21).reshape(3, 7) % min(2**depth, 6)
    path = tiff(tmp_path / "mask.tif", indices[..., None], depth)
    np.testing.assert_array_equal(masks.read(path, 6), indices)


def test_a_tiff_of_inverted_or_lossy_indices_is_refused(tmp_path):
    indices = np.arange(6).reshape(2, 3, 1)
    path = tiff(tmp_path / "mask.tif", indices, 8, photometric=0)
    with pytest.raises(ValueError, match="stored inverted; a mask holds one"):
        masks.read(path, 6)
    image = Image.fromarray(indices[..., 0].astype("uint8"))
    image.save(tmp_path / "lossy.tif", compression="jpeg")
    with pytest.raises(ValueError, match="lossy; a mask holds one class"):
        masks.read(tmp_path / "lossy.tif", 6)


def test_numbers_in_a_tiff_keep_their_meaning(tmp_path):
    counts = np.array([[0, 300], [65535, 7]])
    Image.fromarray(counts.astype("uint16")).save(tmp_path / "a.tif")
    array = images.read(tmp_path / "a.tif")
    assert array.dtype == np.uint16
    np.testing.assert_array_equal(array[..., 0], counts)
    meters = np.array([[0.5, 2.25], [-1.0, 100.0]], "float32")
    Image.fromarray(meters).save(tmp_path / "b.tif")
    np.testing.assert_array_equal(
        images.read(tmp_path / "b.tif")[..., 0], meters
    )
    assert images.read_header(tmp_path / "b.tif").channels == 1
    Image.fromarray((counts - 1).astype("int32")).save(tmp_path / "c.tif")
    with pytest.raises(ValueError, match="c.tif holds whole numbers from -1"):
        images.read(tmp_path / "c.tif")


def test_a_tiff_of_16_bit_color_is_refused_by_both_readers(tmp_path):
    color = np.arange(18).reshape(2, 3, 3) * 3000
    path = tiff(tmp_path / "a.tif", color, 16, photometric=2)
    with pytest.raises(ValueError, match="a.tif has 16 bits a channel in col"):
        images.read(path)
    with pytest.raises(ValueError, match="a.tif has more than 8 bits"):
        shape_of(path)


@pytest.mark.parametrize("suffix", ["gif", "tif", "png", "webp"])
def test_several_pictures_in_a_file_are_refused(tmp_path, suffix):
    frames = [Image.new("RGB", (6, 4), level) for level in (0, 90, 200)]
    path = tmp_path / f"a.{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    for read in (images.read, images.read_header, shape_of):
        with pytest.raises(ValueError, match="holds 3 pictures; expected one"):
            read(path)


def test_a_preview_behind_a_photograph_is_left_alone(tmp_path):
    frames = [Image.new("RGB", (6, 4), level) for level in (0, 200)]
    path = tmp_path / "a.jpg"
    frames[0].save(path, format="MPO", save_all=True, append_images=frames[1:])
    assert images.read(path).max() < 5


@pytest.mark.parametrize(
    "suffix", ["BMP", "gif", "JFIF", "jpe", "Jpeg", "tif", "TIFF", "webp"]
)
def test_every_kind_of_file_is_read_by_both_readers(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    kind = {"jfif": "JPEG", "jpe": "JPEG"}.get(path.suffix[1:].lower())
    Image.new("RGB", (6, 4), (200, 100, 50)).save(path, format=kind)
    assert path.suffix.lower() in images.PICTURES
    array = images.read(path)
    assert array.shape == shape_of(path) == (4, 6, 3)
    assert np.abs(array[0, 0].astype(int) - (200, 100, 50)).max() <= 4
    (classified,) = ImageFiles([path], (4, 6, 3), resized=False)[[0]]
    np.testing.assert_array_equal(classified, array)


def test_a_classifier_refuses_16_bit_color(tmp_path, rng):
    import tensorflow as tf

    color = rng.integers(0, 2**16, (3, 5, 3)).astype("uint16")
    (tmp_path / "a.png").write_bytes(tf.io.encode_png(color).numpy())
    with pytest.raises(ValueError, match="a.png has more than 8 bits"):
        shape_of(tmp_path / "a.png")


def test_an_image_over_the_limit_is_named(tmp_path, monkeypatch):
    Image.new("L", (40, 40)).save(tmp_path / "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    for read in (images.read, shape_of):
        with pytest.raises(ValueError, match="large.png is too large"):
            read(tmp_path / "large.png")


def test_cubic_weights_are_those_of_opencv():
    # Twice as many pixels lie a quarter beside the old ones.
    quarter = [-0.03515625, 0.26171875, 0.87890625, -0.10546875]
    weights = images.cubic_weights(6, 12)
    np.testing.assert_allclose(weights[6, 1:5], quarter)
    np.testing.assert_allclose(weights[7, 2:6], quarter[::-1])
    # Beyond the border its pixel is repeated.
    np.testing.assert_allclose(weights[0, 0], sum(quarter[:3]), rtol=1e-6)
    np.testing.assert_allclose(images.cubic_weights(7, 3).sum(axis=1), 1)


def test_cubic_images_are_those_of_torch(rng):
    torch = pytest.importorskip("torch")
    image = rng.normal(size=(9, 14, 3)).astype("float32")
    for size in ((20, 23), (5, 6), (9, 28)):
        expected = torch.nn.functional.interpolate(
            torch.tensor(image.transpose(2, 0, 1)[None]), size, mode="bicubic"
        )
        np.testing.assert_allclose(
            images.resize(image, size, "cubic"),
            expected.numpy()[0].transpose(1, 2, 0),
            atol=1e-5,
        )
