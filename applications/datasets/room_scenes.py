"""Random rooms to render: what stands where, in which colors.

The classes are made so that no single modality tells all of them apart:

* a red and a blue box differ in color alone: their sizes, places and turns
  are drawn alike;
* a rug lies in the plane of the floor and a poster in that of the wall, so
  depth does not show them;
* a poster shows a picture of such a room, boxes and balls included, so that
  color takes what is painted for the real thing;
* boxes, balls and cylinders share their colors: red and blue are also
  colors of balls and cylinders.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from applications.datasets import ray_casting
from applications.datasets.ray_casting import Ball
from applications.datasets.ray_casting import Box
from applications.datasets.ray_casting import Camera
from applications.datasets.ray_casting import Cylinder
from applications.datasets.ray_casting import Decal
from applications.datasets.ray_casting import Room
from applications.datasets.ray_casting import Scene
from applications.datasets.ray_casting import Texture

CLASSES = (
    "wall",
    "floor",
    "red box",
    "blue box",
    "ball",
    "cylinder",
    "poster",
    "rug",
)
WALL, FLOOR, RED_BOX, BLUE_BOX, BALL, CYLINDER, POSTER, RUG = range(8)
COLORS = {
    "red": (0.72, 0.13, 0.10),
    "blue": (0.12, 0.24, 0.66),
    "green": (0.15, 0.50, 0.20),
    "yellow": (0.85, 0.68, 0.12),
    "purple": (0.45, 0.20, 0.55),
    "white": (0.82, 0.80, 0.76),
}
WALLS = (
    (0.80, 0.76, 0.66),
    (0.62, 0.72, 0.78),
    (0.80, 0.64, 0.58),
    (0.68, 0.76, 0.62),
    (0.78, 0.78, 0.80),
)
FLOORS = (
    (0.50, 0.33, 0.19),
    (0.62, 0.47, 0.30),
    (0.52, 0.50, 0.48),
    (0.36, 0.24, 0.16),
)


class Furnished(NamedTuple):
    """A scene and the words for its parts, in the order of the scene's."""

    scene: Scene
    objects: tuple[str, ...]
    decals: tuple[str, ...]
    # For each object the index of the box that it stands on, or None.
    supports: tuple[int | None, ...]


def draw_scene(rng: np.random.Generator, posters: bool = True) -> Furnished:
    """A random furnished room; without posters for the picture in one."""
    half_width = rng.uniform(1.7, 2.6)
    high = (half_width, rng.uniform(2.5, 3.0), rng.uniform(3.8, 5.4))
    camera = Camera(
        position=(rng.uniform(-0.6, 0.6), rng.uniform(1.25, 1.75), 0.0),
        yaw=rng.uniform(-0.42, 0.42),
        pitch=rng.uniform(0.16, 0.36),
        field_of_view=np.radians(rng.uniform(56, 66)),
    )
    room = _room(rng, (-half_width, 0.0, -0.8), high)
    things, names, supports = _furniture(rng, camera, room)
    rugs = [_rug(rng, camera, room) for _ in range(rng.random() < 0.6)]
    pictures = []
    if posters:
        count = rng.choice(3, p=(0.15, 0.5, 0.35))
        pictures = _posters(rng, camera, room, count)
    decals = [*rugs, *pictures]
    angle = rng.uniform(0, 2 * np.pi)
    axis = (np.cos(angle), rng.uniform(-0.3, 0.3), np.sin(angle))
    darkness = rng.uniform(0.6, 0.93) if rng.random() < 0.6 else 0.0
    middle = (0.0, 1.0, high[2] * 0.6)
    scene = Scene(
        camera,
        room,
        tuple(decal for decal, _ in decals),
        tuple(things),
        light=(
            rng.uniform(-0.7, 0.7) * half_width,
            high[1] - 0.25,
            rng.uniform(0.15, 0.75) * high[2],
        ),
        ambient=rng.uniform(0.25, 0.5),
        shade=(
            axis,
            float(np.dot(axis, middle)) + rng.uniform(-0.2, 1.0),
            darkness,
        ),
    )
    words = tuple(name for _, name in decals)
    return Furnished(scene, tuple(names), words, tuple(supports))


def _room(rng: np.random.Generator, low: tuple, high: tuple) -> Room:
    paint = _varied(rng, WALLS[rng.integers(len(WALLS))], 0.05)
    pattern = (_plain, _striped, _plain)[rng.integers(3)]
    walls = [
        pattern(rng, paint, ray_casting.PLANE_AXES[plane]) for plane in range(6)
    ]
    boards = _varied(rng, FLOORS[rng.integers(len(FLOORS))], 0.06)
    floor = (_planks, _tiles, _plain)[rng.integers(3)]
    walls[ray_casting.FLOOR] = floor(rng, boards, (0, 2))
    walls[ray_casting.CEILING] = _plain(rng, (0.85, 0.84, 0.82), (0, 2))
    labels = [WALL] * 6
    labels[ray_casting.FLOOR] = FLOOR
    return Room(low, high, tuple(walls), tuple(labels))


def _furniture(
    rng: np.random.Generator, camera: Camera, room: Room
) -> tuple[list, list[str], list[int | None]]:
    things, names, supports, taken = [], [], [], []
    for _ in range(rng.integers(3, 7)):
        kind = rng.choice(3, p=(0.5, 0.25, 0.25))
        half = rng.uniform((0.18, 0.16, 0.18), (0.40, 0.48, 0.40))
        reach = float(np.hypot(half[0], half[2]))
        foot = _free_place(rng, camera, room, reach, taken)
        if foot is None:
            continue
        taken.append((*foot, reach))
        thing, name = _thing(rng, kind, (foot[0], 0.0, foot[1]), half)
        things.append(thing)
        names.append(name)
        supports.append(None)
        if kind == 0 and rng.random() < 0.35:
            small = half * rng.uniform(0.45, 0.8)
            on_top = (foot[0], 2 * half[1], foot[1])
            thing, name = _thing(rng, rng.integers(3), on_top, small)
            supports.append(len(things) - 1)
            things.append(thing)
            names.append(name)
    return things, names, supports


def _thing(
    rng: np.random.Generator,
    kind: int,
    foot: tuple[float, float, float],
    half: np.ndarray,
) -> tuple[Box | Ball | Cylinder, str]:
    """A box, ball or cylinder that stands on `foot`."""
    x, y, z = foot
    if kind == 0:
        color = ("red", "blue")[rng.integers(2)]
        label = RED_BOX if color == "red" else BLUE_BOX
        center = (x, y + half[1], z)
        yaw = rng.uniform(0, np.pi)
        texture = _painted(rng, color)
        return Box(center, tuple(half), yaw, label, texture), f"{color} box"
    weights = (0.3, 0.3, 0.1, 0.1, 0.1, 0.1)
    color = str(rng.choice(list(COLORS), p=weights))
    texture = _painted(rng, color)
    radius = float(min(half[0], half[2]))
    if kind == 1:
        ball = Ball((x, y + radius, z), radius, BALL, texture)
        return ball, f"{color} ball"
    center = (x, y + half[1], z)
    cylinder = Cylinder(center, radius, float(half[1]), CYLINDER, texture)
    return cylinder, f"{color} cylinder"


def _free_place(
    rng: np.random.Generator,
    camera: Camera,
    room: Room,
    reach: float,
    taken: Sequence[tuple[float, float, float]],
) -> tuple[float, float] | None:
    """A place on the floor in view, where nothing stands yet."""
    for _ in range(20):
        depth = rng.uniform(1.7, room.high[2] - reach)
        angle = camera.yaw + rng.uniform(-0.42, 0.42)
        x = camera.position[0] + depth * np.tan(angle)
        walled = abs(x) + reach > room.high[0]
        crowded = any(
            np.hypot(x - a, depth - b) < reach + other for a, b, other in taken
        )
        if not walled and not crowded:
            return x, depth
    return None


def _rug(
    rng: np.random.Generator, camera: Camera, room: Room
) -> tuple[Decal, str]:
    depth = rng.uniform(2.0, room.high[2] - 0.8)
    angle = camera.yaw + rng.uniform(-0.3, 0.3)
    x = camera.position[0] + depth * np.tan(angle)
    center = (float(np.clip(x, -room.high[0], room.high[0])), depth)
    half = (rng.uniform(0.5, 1.0), rng.uniform(0.4, 0.8))
    color = str(rng.choice(list(COLORS)))
    base = _varied(rng, COLORS[color], 0.05)[:, None]
    trim = _varied(rng, COLORS["white"], 0.1)[:, None]
    bands = rng.integers(2, 6)

    def texture(uv: np.ndarray) -> np.ndarray:
        border = np.abs(uv).max(axis=0) > 0.82
        band = np.sin(uv[0] * np.pi * bands) > 0.6
        weave = 0.94 + 0.06 * np.sin(uv[1:] * 90)
        return np.where(border ^ band, 0.6 * base + 0.4 * trim, base) * weave

    yaw = rng.uniform(-0.6, 0.6)
    return Decal(
        ray_casting.FLOOR, center, half, yaw, RUG, texture
    ), f"{color} rug"


def _posters(
    rng: np.random.Generator, camera: Camera, room: Room, count: int
) -> list[tuple[Decal, str]]:
    """Pictures of other rooms on different walls, where one may see them."""
    side = ray_casting.RIGHT if camera.yaw > 0 else ray_casting.LEFT
    planes = rng.permutation([ray_casting.BACK, ray_casting.BACK, side])
    posters = []
    for plane in dict.fromkeys(int(p) for p in planes[:count]):
        half = rng.uniform((0.5, 0.4), (0.9, 0.7))
        height = rng.uniform(0.9, 1.7)
        if plane == ray_casting.BACK:
            reach = room.high[0] - half[0] - 0.1
            x = camera.position[0] + room.high[2] * np.tan(
                camera.yaw + rng.uniform(-0.35, 0.35)
            )
            center = (float(np.clip(x, -reach, reach)), height)
            name = "poster on the back wall"
        else:
            center = (rng.uniform(0.6, 0.85) * room.high[2], height)
            name = f"poster on the {('left', 'right')[plane]} wall"
        texture = _picture(rng, mirrored=plane == ray_casting.LEFT)
        posters.append(
            (Decal(plane, center, tuple(half), 0.0, POSTER, texture), name)
        )
    return posters


def _picture(rng: np.random.Generator, mirrored: bool) -> Texture:
    """A framed view of another room."""
    scene = draw_scene(rng, posters=False).scene
    # Nearer than life, so that what is painted is as large as the real thing.
    lens = scene.camera._replace(field_of_view=np.radians(38))
    size = 56
    image = ray_casting.render(scene._replace(camera=lens), size, 1).color
    image = np.clip(image.transpose(2, 0, 1), 0, 1) * 0.95
    frame = np.array((0.9, 0.12)[rng.integers(2)], "float32")

    def texture(uv: np.ndarray) -> np.ndarray:
        u = -uv[0] if mirrored else uv[0]
        column = np.clip((u / 0.92 + 1) / 2 * size, 0, size - 1)
        row = np.clip((1 - uv[1] / 0.92) / 2 * size, 0, size - 1)
        color = image[:, row.astype("int64"), column.astype("int64")]
        border = np.abs(uv).max(axis=0) > 0.92
        return np.where(border, frame, color)

    return texture


def _varied(
    rng: np.random.Generator, color: Sequence[float], spread: float
) -> np.ndarray:
    varied = np.array(color) * rng.uniform(1 - 3 * spread, 1 + spread)
    varied = varied + rng.normal(0, spread / 3, 3)
    return np.clip(varied, 0.02, 0.95).astype("float32")


def _painted(rng: np.random.Generator, color: str) -> Texture:
    """One color with a fine mottle, the same for every kind of object."""
    base = _varied(rng, COLORS[color], 0.06)[:, None]
    noise = _mottle(rng, 0.10)

    def texture(points: np.ndarray) -> np.ndarray:
        return base * noise(points[0] + points[2], points[1] - points[2], 9)

    return texture


def _plain(
    rng: np.random.Generator, color: Sequence[float], axes: tuple
) -> Texture:
    base = np.array(color, "float32")[:, None]
    noise = _mottle(rng, 0.06)

    def texture(points: np.ndarray) -> np.ndarray:
        return base * noise(points[axes[0]], points[axes[1]], 5)

    return texture


def _striped(
    rng: np.random.Generator, color: Sequence[float], axes: tuple
) -> Texture:
    plain = _plain(rng, color, axes)
    width = rng.uniform(0.12, 0.3)

    def texture(points: np.ndarray) -> np.ndarray:
        dark = np.floor(points[axes[0]] / width) % 2
        return plain(points) * (1 - 0.1 * dark)

    return texture


def _planks(
    rng: np.random.Generator, color: Sequence[float], axes: tuple
) -> Texture:
    base = np.array(color, "float32")[:, None]
    noise = _mottle(rng, 0.12)
    tones = rng.uniform(0.82, 1.08, 257).astype("float32")
    width = rng.uniform(0.12, 0.22)

    def texture(points: np.ndarray) -> np.ndarray:
        across, along = points[axes[0]] / width, points[axes[1]]
        plank = np.floor(across)
        piece = np.floor(along / 1.3 + plank * 0.37)
        tone = tones[(plank * 7 + piece * 13).astype("int64") % 257]
        gap = (across - plank) < 0.05
        return base * tone * (1 - 0.4 * gap) * noise(across, along, 4)

    return texture


def _tiles(
    rng: np.random.Generator, color: Sequence[float], axes: tuple
) -> Texture:
    base = np.array(color, "float32")[:, None]
    noise = _mottle(rng, 0.06)
    side = rng.uniform(0.35, 0.55)
    contrast = rng.uniform(0.0, 0.3)

    def texture(points: np.ndarray) -> np.ndarray:
        u, v = points[axes[0]] / side, points[axes[1]] / side
        dark = (np.floor(u) + np.floor(v)) % 2
        joint = (u % 1 < 0.05) | (v % 1 < 0.05)
        tone = 1 - contrast * dark - 0.25 * joint
        return base * tone * noise(u, v, 4)

    return texture


def _mottle(rng: np.random.Generator, strength: float) -> Texture:
    """Smooth noise around 1: a random lattice read between its points."""
    lattice = rng.normal(0, strength, (32, 32)).astype("float32")

    def noise(u: np.ndarray, v: np.ndarray, scale: float) -> Texture:
        x, y = u * scale, v * scale
        left, top = np.floor(x), np.floor(y)
        right, down = x - left, y - top
        i, j = left.astype("int64") % 32, top.astype("int64") % 32
        k, m = (i + 1) % 32, (j + 1) % 32
        upper = lattice[i, j] * (1 - right) + lattice[k, j] * right
        lower = lattice[i, m] * (1 - right) + lattice[k, m] * right
        return 1 + upper * (1 - down) + lower * down

    return noise
