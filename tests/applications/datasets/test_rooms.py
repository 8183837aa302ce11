import numpy as np
import pytest
import tensorflow_datasets as tfds

from applications.datasets import ray_casting
from applications.datasets import rooms
from applications.datasets.ray_casting import Ball
from applications.datasets.ray_casting import Box
from applications.datasets.ray_casting import Camera
from applications.datasets.ray_casting import Cylinder
from applications.datasets.ray_casting import Room
from applications.datasets.ray_casting import Scene
from applications.datasets.ray_casting import render
from applications.datasets.room_scenes import BALL
from applications.datasets.room_scenes import BLUE_BOX
from applications.datasets.room_scenes import COLORS
from applications.datasets.room_scenes import FLOOR
from applications.datasets.room_scenes import RED_BOX
from applications.datasets.room_scenes import WALL
from applications.datasets.room_scenes import Furnished
from applications.datasets.room_scenes import draw_scene

SIZE = 48
TINY = rooms.RoomsConfig(size=16, train=5, validation=2, test=2, seed=3)


def gray(points):
    return np.full((3, points.shape[1]), 0.5, "float32")


def bare_scene(*objects, yaw=0.0, pitch=0.0):
    """A room 6 m wide, 3 m high, its back wall 4 m before the camera."""
    labels = [WALL] * 6
    labels[ray_casting.FLOOR] = FLOOR
    return Scene(
        Camera((0.0, 1.5, 0.0), yaw, pitch, np.pi / 2),
        Room((-3.0, 0.0, -1.0), (3.0, 3.0, 4.0), (gray,) * 6, tuple(labels)),
        (),
        objects,
        light=(0.0, 2.8, 1.0),
        ambient=0.4,
        shade=((1.0, 0.0, 0.0), 0.0, 0.0),
    )


def pixel_grid(size=SIZE):
    """Tangents to the right and up of the pixels' centers at 90 degrees."""
    centers = (np.arange(size) + 0.5) / size * 2 - 1
    return centers[None, :], -centers[:, None]


def test_back_wall_and_floor_are_at_their_analytic_depth():
    picture = render(bare_scene(), SIZE, samples=1)
    depth, label = picture.depth[..., 0], picture.label[..., 0]
    middle = SIZE // 2
    np.testing.assert_allclose(depth[middle, middle], 4, rtol=1e-5)
    _, up = pixel_grid()
    floor = label == FLOOR
    expected = np.broadcast_to(-1.5 / up, floor.shape)
    assert floor.any()
    np.testing.assert_allclose(depth[floor], expected[floor], rtol=1e-4)


def test_a_turned_camera_measures_along_its_own_axis():
    yaw = 0.3
    picture = render(bare_scene(yaw=yaw), SIZE, samples=1)
    right, _ = pixel_grid()
    row, columns = SIZE // 2, slice(SIZE // 3, SIZE // 2)
    expected = 4 / (np.cos(yaw) - right[0, columns] * np.sin(yaw))
    np.testing.assert_allclose(
        picture.depth[row, columns, 0], expected, rtol=1e-4
    )


def test_objects_are_where_geometry_puts_them():
    ball = Ball((-1.0, 1.5, 2.5), 0.5, BALL, gray)
    box = Box((1.0, 1.5, 2.5), (0.3, 0.4, 0.5), 0.0, RED_BOX, gray)
    cylinder = Cylinder((0.0, 1.5, 3.0), 0.25, 0.4, 5, gray)
    picture = render(bare_scene(ball, box, cylinder), 201, samples=1)
    depth = picture.depth[100, :, 0]
    right, _ = pixel_grid(201)
    towards_box = np.abs(right[0] - 1.0 / 2.0).argmin()
    np.testing.assert_allclose(depth[towards_box], 2.0, rtol=1e-5)
    np.testing.assert_allclose(depth[100], 2.75, rtol=1e-5)
    # The line of sight through the ball's center ends a radius before it.
    towards_ball = np.abs(right[0] + 1.0 / 2.5).argmin()
    distance = np.hypot(1.0, 2.5)
    forward = (distance - 0.5) * 2.5 / distance
    np.testing.assert_allclose(depth[towards_ball], forward, rtol=1e-3)


def test_normals_have_unit_length_and_face_the_camera():
    for seed in range(5):
        scene = draw_scene(np.random.default_rng(seed)).scene
        picture = render(scene, SIZE)
        lengths = np.linalg.norm(picture.normals, axis=-1)
        np.testing.assert_allclose(lengths, 1, atol=1e-4)
        tangent = np.tan(scene.camera.field_of_view / 2)
        right, up = pixel_grid(2 * SIZE)
        normals = picture.normals
        facing = (
            normals[..., 2]
            - normals[..., 0] * right[:, ::2] * tangent
            - normals[..., 1] * up[::2] * tangent
        )
        assert (facing > -1e-4).all()


def test_color_is_albedo_times_shading():
    scene = draw_scene(np.random.default_rng(0)).scene
    picture = render(scene, SIZE, samples=1)
    np.testing.assert_allclose(
        picture.color, picture.albedo * picture.shading, rtol=1e-5
    )


def test_what_stands_before_the_lamp_casts_a_shadow():
    scene = bare_scene(Box((0, 1.5, 2.0), (0.5, 0.1, 0.5), 0.0, BALL, gray))
    scene = scene._replace(light=(0.0, 2.5, 2.0))
    picture = render(scene, SIZE)
    right, up = pixel_grid()
    # The floor straight below the box against the same depth far to its side.
    row = np.abs(up[:, 0] + 1.5 / 2.0).argmin()
    below, beside = (np.abs(right[0] - x / 2.0).argmin() for x in (0, 1.8))
    assert picture.label[row, below, 0] == FLOOR
    assert (
        picture.shading[row, below, 0] < 0.6 * picture.shading[row, beside, 0]
    )


def test_red_and_blue_boxes_cannot_be_told_apart_by_depth():
    swapped = {RED_BOX: BLUE_BOX, BLUE_BOX: RED_BOX}
    furnished = draw_scene(np.random.default_rng(3))
    scene = furnished.scene
    other = scene._replace(
        objects=tuple(
            thing._replace(label=swapped.get(thing.label, thing.label))
            for thing in scene.objects
        )
    )
    one, two = render(scene, SIZE), render(other, SIZE)
    assert (one.label != two.label).any()
    np.testing.assert_array_equal(one.depth, two.depth)
    np.testing.assert_array_equal(one.normals, two.normals)
    sizes = {RED_BOX: [], BLUE_BOX: []}
    for seed in range(300):
        drawn = draw_scene(np.random.default_rng(seed), posters=False)
        for thing in drawn.scene.objects:
            if thing.label in sizes:
                sizes[thing.label].append((*thing.half, *thing.center))
    red, blue = (np.array(values) for values in sizes.values())
    error = np.hypot(
        red.std(0) / np.sqrt(len(red)), blue.std(0) / np.sqrt(len(blue))
    )
    assert (np.abs(red.mean(0) - blue.mean(0)) < 4 * error).all()


def test_posters_and_rugs_leave_no_trace_in_measured_depth():
    scene = draw_scene(np.random.default_rng(0)).scene
    assert scene.decals
    one, two = render(scene, SIZE), render(scene._replace(decals=()), SIZE)
    assert (one.label != two.label).any()
    measured = [
        rooms.measure_depth(np.random.default_rng(1), picture.depth)
        for picture in (one, two)
    ]
    np.testing.assert_array_equal(*measured)


def test_boxes_balls_and_cylinders_share_red_and_blue():
    names = set()
    for seed in range(60):
        drawn = draw_scene(np.random.default_rng(seed), posters=False)
        names.update(drawn.objects)
    expected = {f"{c} {kind}" for c in COLORS for kind in ("ball", "cylinder")}
    assert names == expected | {"red box", "blue box"}


def test_every_change_of_class_is_on_an_edge():
    example = rooms.room_example(0, "train", 0, SIZE)
    label, edges = example["label"][..., 0], example["edges"][..., 0] > 0
    across = label[:, :-1] != label[:, 1:]
    down = label[:-1] != label[1:]
    assert across.any() and down.any()
    assert edges[:, :-1][across].all() and edges[:-1][down].all()
    assert 0.01 < edges.mean() < 0.5


def test_lost_depth_is_zero_and_the_rest_is_near_the_truth():
    depth = np.full((SIZE, SIZE, 1), 3.0)
    measured = rooms.measure_depth(np.random.default_rng(0), depth)
    lost = measured == 0
    assert 0 < lost.mean() < 0.2
    spread = 0.002 + 0.0025 * 9
    assert abs(measured[~lost].mean() - 3) < 4 * spread / SIZE
    assert 0.8 < measured[~lost].std() / spread < 1.2


def test_the_caption_tells_what_is_seen_and_where():
    left = Box((-0.8, 0.4, 2.5), (0.3, 0.4, 0.3), 0.0, RED_BOX, gray)
    right = Ball((0.8, 0.3, 2.5), 0.3, BALL, gray)
    scene = bare_scene(left, right)
    furnished = Furnished(scene, ("red box", "blue ball"), (), (None, None))
    captions = {
        rooms.describe(
            np.random.default_rng(seed), furnished, render(scene, SIZE)
        )
        for seed in range(8)
    }
    start = "A room with a red box and a blue ball. "
    assert captions == {
        start + "The red box is to the left of the blue ball.",
        start + "The blue ball is to the right of the red box.",
    }
    empty = bare_scene()
    assert (
        rooms.describe(
            np.random.default_rng(0),
            Furnished(empty, (), (), ()),
            render(empty, SIZE),
        )
        == "An empty room."
    )


def test_a_caption_counts_equal_things_and_leaves_out_hidden_ones():
    near = Box((0, 1.0, 1.5), (0.8, 1.0, 0.1), 0.0, RED_BOX, gray)
    hidden = Ball((0, 0.3, 3.0), 0.3, BALL, gray)
    far = Box((2.0, 1.0, 3.0), (0.3, 1.0, 0.3), 0.0, RED_BOX, gray)
    scene = bare_scene(near, hidden, far)
    furnished = Furnished(
        scene, ("red box", "blue ball", "red box"), (), (None,) * 3
    )
    caption = rooms.describe(
        np.random.default_rng(0), furnished, render(scene, SIZE)
    )
    assert caption == "A room with two red boxes."


def test_the_seed_the_split_and_the_index_make_the_room():
    one = rooms.room_example(0, "train", 1, 16)
    again = rooms.room_example(0, "train", 1, 16)
    for name in one:
        np.testing.assert_array_equal(one[name], again[name])
    for other in ((1, "train", 1), (0, "test", 1), (0, "train", 2)):
        room = rooms.room_example(*other, 16)
        assert (room["depth"] != one["depth"]).mean() > 0.5


def test_prepared_rooms_are_what_was_rendered(tmp_path):
    builder = rooms.prepare(tmp_path, TINY)
    reader = tfds.builder_from_directory(builder.data_dir)
    assert {s: reader.info.splits[s].num_examples for s in rooms.SPLITS} == {
        "train": 5,
        "validation": 2,
        "test": 2,
    }
    for split in rooms.SPLITS:
        for example in reader.as_dataset(split=split).as_numpy_iterator():
            index = int(example.pop("id").decode().split("-")[1])
            rendered = rooms.room_example(TINY.seed, split, index, TINY.size)
            assert example.pop("caption").decode() == rendered["caption"]
            for name, array in example.items():
                np.testing.assert_array_equal(array, rendered[name])


def test_rooms_are_rendered_once_and_again_after_an_interruption(
    tmp_path, monkeypatch
):
    whole = rooms.room_example

    def interrupted(seed, split, index, size):
        if (split, index) == ("validation", 1):
            raise KeyboardInterrupt
        return whole(seed, split, index, size)

    monkeypatch.setattr(rooms, "room_example", interrupted)
    with pytest.raises(KeyboardInterrupt):
        rooms.prepare(tmp_path, TINY)
    monkeypatch.setattr(rooms, "room_example", whole)
    assert rooms.prepare(tmp_path, TINY).info.splits["test"].num_examples == 2
    monkeypatch.setattr(rooms, "room_example", None)
    assert rooms.prepare(tmp_path, TINY).info.splits["test"].num_examples == 2


def test_counts_that_make_no_data_are_refused():
    with pytest.raises(ValueError, match="at least 1, received .*test=0"):
        rooms.RoomsConfig(test=0)
