import h5py
import numpy as np
import pytest
import scipy.io

from applications.datasets import nyu_depth

NAMES = ("book", "wall", "lamp")
CLASSES = ("wall", "otherprop")
HEIGHT, WIDTH = 12, 16


def cells(texts):
    array = np.empty((1, len(texts)), object)
    array[0] = texts
    return array


def write_files(folder, names=NAMES):
    """What the official files hold, of four small images."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (HEIGHT, WIDTH, 3, 4), dtype="uint8")
    depths = rng.random((HEIGHT, WIDTH, 4), dtype="float32")
    labels = rng.integers(0, 4, (HEIGHT, WIDTH, 4)).astype("uint16")
    with h5py.File(folder / nyu_depth.LABELED, "w") as file:
        # MATLAB writes its arrays with the axes in reverse.
        for name, array in (
            ("images", images),
            ("depths", depths),
            ("labels", labels),
        ):
            file[name] = array.T
        references = file.create_dataset(
            "names", (1, len(names)), dtype=h5py.ref_dtype
        )
        for index, name in enumerate(names):
            codes = np.array([[ord(letter)] for letter in name], "uint16")
            cell = file.create_dataset(f"#refs#/{index}", data=codes)
            references[0, index] = cell.ref
    scipy.io.savemat(
        folder / nyu_depth.SPLIT_INDICES,
        {"trainNdxs": [[4], [1], [2]], "testNdxs": [[3]]},
    )
    scipy.io.savemat(
        folder / nyu_depth.CLASS_MAPPING,
        {
            # In another order than the names: lamp, wall, book.
            "mapClass": np.array([[2, 1, 2]], "uint8"),
            "allClassName": cells(NAMES[::-1]),
            "className": cells(CLASSES),
        },
    )
    return images, depths, labels


def test_examples_are_those_of_the_file_by_the_official_split(tmp_path):
    images, depths, labels = write_files(tmp_path / "source")
    builder = nyu_depth.prepare(tmp_path / "source", tmp_path / "prepared")
    assert tuple(builder.info.features["label"].names) == CLASSES
    expected = {1: 1, 2: 0, 3: 1, 0: nyu_depth.IGNORE}
    found = {}
    for split in ("train", "test"):
        for example in builder.as_data_source(split):
            identifier = example["id"].decode()
            found.setdefault(split, []).append(identifier)
            index = int(identifier) - 1
            np.testing.assert_array_equal(example["rgb"], images[..., index])
            np.testing.assert_array_equal(
                example["depth"][..., 0], depths[..., index]
            )
            for raw, label in expected.items():
                here = labels[..., index] == raw
                assert here.any()
                assert (example["label"][here] == label).all()
    assert sorted(found["train"]) == ["0001", "0002", "0004"]
    assert found["test"] == ["0003"]


def test_changed_files_are_prepared_anew(tmp_path):
    write_files(tmp_path / "source")
    first = nyu_depth._fingerprint(tmp_path / "source")
    scipy.io.savemat(
        tmp_path / "source" / nyu_depth.SPLIT_INDICES,
        {"trainNdxs": [[1]], "testNdxs": [[2]]},
    )
    assert nyu_depth._fingerprint(tmp_path / "source") != first


@pytest.mark.parametrize("name", ["splits.mat", "classMapping40.mat"])
def test_a_missing_file_is_named_with_its_place(tmp_path, name):
    write_files(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(ValueError, match=f"lacks {name}; put the official"):
        nyu_depth.prepare(tmp_path, tmp_path / "prepared")


def test_a_damaged_file_is_named(tmp_path):
    write_files(tmp_path)
    path = tmp_path / nyu_depth.LABELED
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(ValueError, match="labeled.mat is damaged or cut short"):
        nyu_depth.prepare(tmp_path, tmp_path / "prepared")


def test_another_hdf5_file_is_refused(tmp_path):
    write_files(tmp_path)
    with h5py.File(tmp_path / nyu_depth.LABELED, "w") as file:
        file["images"] = np.zeros((1, 3, 2, 2), "uint8")
    with pytest.raises(ValueError, match="has no depths, labels, names"):
        nyu_depth.prepare(tmp_path, tmp_path / "prepared")


def test_a_class_that_the_mapping_lacks_is_named(tmp_path):
    write_files(tmp_path, names=("book", "wall", "piano"))
    with pytest.raises(ValueError, match="does not map 'piano'"):
        nyu_depth.prepare(tmp_path, tmp_path / "prepared")


def test_an_image_in_both_splits_is_refused(tmp_path):
    write_files(tmp_path)
    scipy.io.savemat(
        tmp_path / nyu_depth.SPLIT_INDICES,
        {"trainNdxs": [[1], [2]], "testNdxs": [[2]]},
    )
    with pytest.raises(ValueError, match="for training and test at once.* 2"):
        nyu_depth.split_indices(tmp_path)
