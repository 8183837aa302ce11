import numpy as np
import pytest
from PIL import Image

from applications.datasets import taskonomy


def write(root, domain, view, value=0, size=(4, 6), dtype="uint8"):
    path = root / domain / f"{view}_domain_{domain}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full(size, value, dtype)).save(path)
    return path


@pytest.fixture
def root(tmp_path):
    """Ten points, each seen twice, in a building and in none."""
    for point in range(10):
        for view in range(2):
            for folder in ("", "allensville/"):
                name = f"{folder}point_{point}_view_{view}"
                write(tmp_path, "rgb", name, point)
                write(tmp_path, "depth_zbuffer", name, 1000, dtype="uint16")
    return tmp_path


def test_it_is_told_by_its_names(root, tmp_path_factory):
    assert taskonomy.is_layout(root)
    other = tmp_path_factory.mktemp("other")
    (other / "rgb").mkdir()
    (other / "rgb" / "0001.png").touch()
    assert not taskonomy.is_layout(other)
    (root / "train").mkdir()
    assert not taskonomy.is_layout(root)


def test_no_point_is_in_two_parts(root):
    source = taskonomy.find(root, ("depth_zbuffer", "rgb"))
    assert source.channels == {"depth_zbuffer": 1, "rgb": 1}
    assert sum(source.sizes.values()) == 40
    points = {
        split: {
            (e.id.rpartition("/")[0], e.id.split("point_")[1].split("_")[0])
            for e in source.read(split).folder.examples
        }
        for split in source.sizes
    }
    assert source.sizes["validation"] == 8
    assert not points["train"] & points["validation"]
    assert "every fifth block of points" in source.notes[0]


def test_depth_is_a_logarithm_and_edges_are_divided(root):
    for point in range(10):
        for view in range(2):
            for folder in ("", "allensville/"):
                name = f"{folder}point_{point}_view_{view}"
                write(root, "edge_texture", name, 5792, dtype="uint16")
    source = taskonomy.find(root, ("depth_zbuffer", "edge_texture", "rgb"))
    example = source.read("train")[0]
    depth = example["depth_zbuffer"]
    assert depth.dtype == "float32" and depth.shape == (4, 6, 1)
    np.testing.assert_allclose(depth, np.log(1001) / 11.1, rtol=1e-6)
    np.testing.assert_allclose(example["edge_texture"], 0.5, rtol=1e-6)
    assert example["rgb"].dtype == "uint8"


def test_what_was_made_8_bits_of_is_the_same():
    counts = np.array([[0, 500, 65535]], "uint16")
    exact = taskonomy.scaled(counts, "depth_euclidean")
    stored = np.rint(255 * exact).astype("uint8")
    read = taskonomy.scaled(stored, "depth_euclidean")
    np.testing.assert_allclose(read, exact, atol=0.5 / 255)
    assert taskonomy.scaled(counts, "reshading") is counts


def test_lists_say_the_parts(root):
    (root / "train.txt").write_text("allensville\npoint_0_view_0\n\n")
    (root / "val.txt").write_text("point_1_view_1\n")
    source = taskonomy.find(root, ("rgb",))
    assert source.sizes == {"train": 21, "validation": 1}
    [example] = source.read("validation")
    assert (example["rgb"] == 1).all()
    assert source.notes[0] == "left out, in no list: 18 examples"


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({"train": "nowhere\n"}, "train.txt, line 1: there is no example"),
        ({"train": "\n"}, "train.txt is empty"),
        (
            {"train": "allensville\n", "test": "allensville/point_0_view_0"},
            "allensville/point_0_view_0 is in .*train.txt and in .*test.txt",
        ),
    ],
)
def test_wrong_lists_explain_themselves(root, lists, message):
    for name, text in lists.items():
        (root / f"{name}.txt").write_text(text)
    with pytest.raises(ValueError, match=message):
        taskonomy.find(root, ("rgb",))


def test_what_does_not_fit_is_named(root):
    with pytest.raises(ValueError, match="no folder normal/; it holds allen"):
        taskonomy.find(root / "rgb", ("normal",))
    write(root, "rgb", "point_10_view_0")
    with pytest.raises(ValueError, match="point_10_view_0.* has no partner"):
        taskonomy.find(root, ("depth_zbuffer", "rgb"))
    write(root, "depth_zbuffer", "point_10_view_0", size=(3, 3))
    with pytest.raises(ValueError, match="must be aligned pixel by pixel"):
        taskonomy.find(root, ("depth_zbuffer", "rgb"))
    problems = []
    names, examples = taskonomy.unlabeled_examples(
        root, ("depth_zbuffer", "rgb"), problems
    )
    assert len(names) == len(examples) == 40
    [problem] = problems
    assert "must be aligned" in problem


def test_what_is_left_out_is_told(root):
    (root / "rgb" / "notes.txt").touch()
    (root / "readme.md").touch()
    source = taskonomy.find(root, ("rgb",))
    notes = "\n".join(source.notes)
    assert "domains that were not asked for: depth_zbuffer" in notes
    assert "domain_NAME.png: rgb/notes.txt" in notes
    assert "beside the domains: readme.md" in notes
