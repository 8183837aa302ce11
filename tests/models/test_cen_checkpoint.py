"""The names are facts of the released code: yikaiw/CEN at commit 6454775."""

import numpy as np
import pytest
from keras import ops

from keras_fusion.models import load_cen_checkpoint
from keras_fusion.models import refinenet
from keras_fusion.models import unet_generator

BLOCKS, WIDTH, DECODER, CLASSES = (2, 1, 1, 1), 2, 3, 5


class Checkpoint(dict):
    """Random arrays by the names that PyTorch's modules give them."""

    def __init__(self, modalities, seed=0):
        super().__init__(alpha=np.arange(modalities, dtype="float32"))
        self.modalities = modalities
        self.rng = np.random.default_rng(seed)

    def draw(self, *shape):
        return self.rng.normal(size=shape).astype("float32")

    def convolution(self, name, out, into, size=3, bias=False):
        self[f"{name}.module.weight"] = self.draw(out, into, size, size)
        if bias:
            self[f"{name}.module.bias"] = self.draw(out)

    def norm(self, name, channels):
        for m in range(self.modalities):
            self[f"{name}_{m}.weight"] = self.draw(channels)
            self[f"{name}_{m}.bias"] = self.draw(channels)
            self[f"{name}_{m}.running_mean"] = self.draw(channels)
            self[f"{name}_{m}.running_var"] = self.draw(channels) ** 2
            self[f"{name}_{m}.num_batches_tracked"] = np.array(7)


def of_segmentation(modalities=2):
    found = Checkpoint(modalities)
    found.convolution("conv1", WIDTH, 3, 7)
    found.norm("bn1.bn", WIDTH)
    channels = WIDTH
    for stage, count in enumerate(BLOCKS, start=1):
        planes = WIDTH * 2 ** (stage - 1)
        for block in range(count):
            name = f"layer{stage}.{block}"
            found.convolution(f"{name}.conv1", planes, channels, 1)
            found.norm(f"{name}.bn1.bn", planes)
            found.convolution(f"{name}.conv2", planes, planes)
            found.norm(f"{name}.bn2.bn", planes)
            found.convolution(f"{name}.conv3", 4 * planes, planes, 1)
            found.norm(f"{name}.bn3.bn", 4 * planes)
            if block == 0:
                down = f"{name}.downsample"
                found.convolution(f"{down}.0", 4 * planes, channels, 1)
                found.norm(f"{down}.1.bn", 4 * planes)
            channels = 4 * planes
    for level in (1, 2, 3, 4):
        filters = 2 * DECODER if level == 1 else DECODER
        channels = 4 * WIDTH * 2 ** (4 - level)
        found.convolution(f"p_ims1d2_outl{level}_dimred", filters, channels)
        for name, units in (
            (f"adapt_stage{level}_b", 2),
            (f"mflow_conv_g{level}_b", 3),
        ):
            for unit in range(1, units + 1):
                first = f"{name}.0.{unit}_conv"
                found.convolution(first, filters, filters, bias=True)
                second = f"{name}.0.{unit}_conv_relu_varout_dimred"
                found.convolution(second, filters, filters)
        for pool in (1, 2, 3, 4):
            name = f"mflow_conv_g{level}_pool.0.{pool}_outvar_dimred"
            found.convolution(name, filters, filters)
        if level > 1:
            name = f"adapt_stage{level}_b2_joint_varout_dimred"
            found.convolution(name, filters, filters)
        if level < 4:
            name = f"mflow_conv_g{level}_b3_joint_varout_dimred"
            found.convolution(name, DECODER, filters)
    found.convolution("clf_conv", CLASSES, DECODER, bias=True)
    return found


def of_translation(modalities=2):
    found = Checkpoint(modalities)
    wide = [2 * min(2**n, 8) for n in range(8)]
    for number, (into, out) in enumerate(
        zip([3, *wide], wide, strict=False), start=1
    ):
        found.convolution(f"conv{number}.conv", out, into, 4, bias=True)
        found.norm(f"conv{number}.insnorm_conv.insnorm", out)
    outs = [*wide[-2::-1], 3]
    intos = [wide[-1], *(2 * out for out in outs[:-1])]
    for number, (into, out) in enumerate(
        zip(intos, outs, strict=True), start=1
    ):
        # Transposed convolutions have the axes of channels exchanged.
        found.convolution(f"deconv{number}.deconv", into, out, 4)
        found[f"deconv{number}.deconv.module.bias"] = found.draw(out)
        found.norm(f"deconv{number}.insnorm_deconv.insnorm", out)
    return found


def network(modalities=2, **changes):
    names = [f"modality{m}" for m in range(modalities)]
    settings = {"blocks": BLOCKS, "width": WIDTH, "decoder_width": DECODER}
    return refinenet(names, CLASSES, **{**settings, **changes})


def generator(modalities=2, **changes):
    names = [f"modality{m}" for m in range(modalities)]
    return unet_generator(names, **{"width": 2, **changes})


BOTH = {
    "segmentation": (network, of_segmentation),
    "translation": (generator, of_translation),
}
every_network = pytest.mark.parametrize(
    ("build", "arrays"), BOTH.values(), ids=BOTH
)


def saved(arrays, folder, name="checkpoint.npz"):
    np.savez(folder / name, **arrays)
    return folder / name


def weights(model):
    return {w.path: ops.convert_to_numpy(w) for w in model.weights}


@every_network
@pytest.mark.parametrize("modalities", [1, 2, 3])
def test_every_array_is_somewhere_and_every_weight_from_one(
    build, arrays, modalities, tmp_path
):
    model, found = build(modalities), arrays(modalities)
    load_cen_checkpoint(model, saved(found, tmp_path))
    # Random numbers tell by themselves where they have come from.
    places = {}
    for path, value in weights(model).items():
        rows = value if value.ndim == 2 else [value]
        for row in rows:
            places[tuple(np.sort(row.ravel()))] = path
    expected = {
        name: tuple(np.sort(array.ravel()))
        for name, array in found.items()
        if "tracked" not in name and not is_idle(name)
    }
    assert set(expected.values()) == set(places)
    for name, key in expected.items():
        assert kind_of(name) in places[key], (name, places[key])


def is_idle(name):
    if "insnorm" not in name:
        return False
    idle = name.startswith(("conv1.", "conv8.", "deconv8."))
    return idle or "running" in name


def kind_of(name):
    """The end of the path of our weight."""
    if name == "alpha":
        return "alpha"
    kind = {"running_mean": "moving_mean", "running_var": "moving_variance"}
    end = name.rsplit(".", 1)[1]
    is_norm = "bn_" in name or "insnorm" in name
    names = {"weight": "gamma" if is_norm else "kernel"}
    return {**kind, **names, "bias": "beta" if is_norm else "bias"}[end]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("stem_conv/kernel", "conv1.module.weight"),
        ("stage1_block2_conv3/kernel", "layer1.1.conv3.module.weight"),
        ("stage2_block1_conv0/kernel", "layer2.0.downsample.0.module.weight"),
        ("level4_entry/kernel", "p_ims1d2_outl1_dimred.module.weight"),
        ("level1_entry/kernel", "p_ims1d2_outl4_dimred.module.weight"),
        ("level3_adapt/kernel", "adapt_stage2_b2_joint_varout_dimred.module"),
        ("level2_exit/kernel", "mflow_conv_g3_b3_joint_varout_dimred.module"),
        ("level1_pool4_conv/kernel", "mflow_conv_g4_pool.0.4_outvar_dimred.m"),
        ("level4_units_out3_conv2/kernel", "mflow_conv_g1_b.0.3_conv_relu"),
        ("level2_units_in1_conv1/bias", "adapt_stage3_b.0.1_conv.module.bias"),
        ("classifier/bias", "clf_conv.module.bias"),
    ],
)
def test_arrays_of_one_shape_are_not_mistaken(ours, theirs, tmp_path):
    found = of_segmentation()
    [name] = [name for name in found if name.startswith(theirs)]
    model = network()
    load_cen_checkpoint(model, saved(found, tmp_path))
    expected = found[name]
    if expected.ndim == 4:
        expected = np.moveaxis(expected, (2, 3, 1, 0), (0, 1, 2, 3))
    np.testing.assert_array_equal(weights(model)[ours], expected)


def test_a_row_of_a_norm_is_a_modality(tmp_path):
    found = of_segmentation(3)
    model = network(3)
    load_cen_checkpoint(model, saved(found, tmp_path))
    gamma = weights(model)["stage3_block1_norm2/gamma"]
    for m in range(3):
        expected = found[f"layer3.0.bn2.bn_{m}.weight"]
        np.testing.assert_array_equal(gamma[m], expected)


def test_a_transposed_convolution_does_what_theirs_does(rng, tmp_path):
    found = of_translation(1)
    model = generator(1)
    load_cen_checkpoint(model, saved(found, tmp_path))
    layer = model.get_layer("up3_conv")
    kernel = found["deconv3.deconv.module.weight"]
    bias = found["deconv3.deconv.module.bias"]
    x = rng.normal(size=(1, 3, 2, kernel.shape[0])).astype("float32")
    # Every input pixel adds its kernel, two steps on, less a border of one.
    full = np.zeros((3 * 2 + 2, 2 * 2 + 2, kernel.shape[1]))
    for i in range(3):
        for j in range(2):
            patch = np.einsum("c,cfhw->hwf", x[0, i, j], kernel)
            full[2 * i : 2 * i + 4, 2 * j : 2 * j + 4] += patch
    np.testing.assert_allclose(
        ops.convert_to_numpy(layer(x))[0],
        full[1:-1, 1:-1] + bias,
        rtol=1e-4,
        atol=1e-4,
    )


def test_files_of_pytorch_as_released(tmp_path):
    torch = pytest.importorskip("torch")
    found = of_segmentation()
    state = {
        f"module.{k}": torch.from_numpy(v.copy()) for k, v in found.items()
    }
    path = tmp_path / "ckpt.pth.tar"
    torch.save({"segmenter": state, "epoch_start": 3}, path)
    model, other = network(), network()
    load_cen_checkpoint(model, path)
    load_cen_checkpoint(other, saved(found, tmp_path))
    for path, value in weights(model).items():
        np.testing.assert_array_equal(value, weights(other)[path])


def test_code_in_a_file_of_pytorch_does_not_run(tmp_path):
    torch = pytest.importorskip("torch")

    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "was here"), "w"))

    torch.save({"segmenter": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(ValueError, match="evil.pth must be a whole file"):
        load_cen_checkpoint(network(), tmp_path / "evil.pth")
    assert not (tmp_path / "was here").exists()


def truncated(arrays, folder):
    path = saved(arrays, folder)
    path.write_bytes(path.read_bytes()[:1000])
    return path


def objects(arrays, folder):
    return saved({**arrays, "alpha": np.array([{}, {}])}, folder)


def renamed(arrays, folder):
    arrays["classifier.weight"] = arrays.pop("clf_conv.module.weight")
    return saved(arrays, folder)


def deeper(arrays, folder):
    arrays.convolution("layer3.1.conv1", 8, 32, 1)
    return saved(arrays, folder)


def of_other_classes(arrays, folder):
    arrays.convolution("clf_conv", 7, DECODER, bias=True)
    return saved(arrays, folder)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncated, "must be a whole file of arrays"),
        (objects, "must be a whole file of arrays"),
        (renamed, "must have the array clf_conv.module.weight of classifier"),
        (deeper, "layer3.1.conv1.module.weight, which has none"),
        (
            of_other_classes,
            r"the shape \(3, 3, 3, 5\) of cl.* Received: \(3, 3, 3, 7\)",
        ),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_copied(
    damage, message, tmp_path
):
    model = network()
    before = weights(model)
    with pytest.raises(ValueError, match=message) as caught:
        load_cen_checkpoint(model, damage(of_segmentation(), tmp_path))
    assert "\n" not in str(caught.value)
    for path, value in weights(model).items():
        np.testing.assert_array_equal(value, before[path])


@pytest.mark.parametrize("modalities", [1, 3])
def test_another_number_of_modalities_is_refused(modalities, tmp_path):
    path = saved(of_segmentation(2), tmp_path)
    with pytest.raises(ValueError, match="Received: "):
        load_cen_checkpoint(network(modalities), path)
