"""Ray casting in NumPy: a furnished room seen through a pinhole camera.

World axes: x right, y up, z away from the wall behind the camera; meters. All
rays of a picture are arrays of shape (3, rays), and every intersection is in
closed form.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Array = np.ndarray
Texture = Callable[[Array], Array]
NEAR = 1e-3
# The six planes of a room, in the order of `Room.intersect`.
LEFT, RIGHT, FLOOR, CEILING, FRONT, BACK = range(6)
# The two world axes along each plane: what `Decal` and textures call (u, v).
PLANE_AXES = ((2, 1), (2, 1), (0, 2), (0, 2), (0, 1), (0, 1))


class Camera(NamedTuple):
    """`yaw` turns to the right, `pitch` down; in radians."""

    position: tuple[float, float, float]
    yaw: float
    pitch: float
    field_of_view: float

    def rotation(self) -> Array:
        """Columns: the camera's right, up and forward in world axes."""
        yaw = np.array(
            [
                [np.cos(self.yaw), 0, np.sin(self.yaw)],
                [0, 1, 0],
                [-np.sin(self.yaw), 0, np.cos(self.yaw)],
            ]
        )
        pitch = np.array(
            [
                [1, 0, 0],
                [0, np.cos(self.pitch), -np.sin(self.pitch)],
                [0, np.sin(self.pitch), np.cos(self.pitch)],
            ]
        )
        return (yaw @ pitch).astype("float32")

    def rays(self, size: int) -> Array:
        """Directions with unit component forward, so that t is the depth."""
        extent = np.tan(self.field_of_view / 2)
        centers = (np.arange(size, dtype="float32") + 0.5) / size * 2 - 1
        right, up = np.meshgrid(centers * extent, -centers * extent)
        local = np.stack([right, up, np.ones_like(up)]).reshape(3, -1)
        return self.rotation() @ local.astype("float32")


class Room(NamedTuple):
    """A box seen from inside: corner to corner, with a texture a plane."""

    low: tuple[float, float, float]
    high: tuple[float, float, float]
    textures: tuple[Texture, ...]
    labels: tuple[int, ...]

    def intersect(self, origin: Array, rays: Array) -> tuple[Array, Array]:
        """Depth and the plane hit, for rays that start inside."""
        with np.errstate(divide="ignore"):
            bounds = np.where(
                rays > 0,
                np.array(self.high, "float32")[:, None],
                np.array(self.low, "float32")[:, None],
            )
            depths = np.where(rays == 0, np.inf, (bounds - origin) / rays)
        axis = depths.argmin(axis=0)
        columns = np.arange(rays.shape[1])
        return depths.min(axis=0), 2 * axis + (rays[axis, columns] > 0)


class Decal(NamedTuple):
    """Something flat on a plane of the room: a poster, a rug."""

    plane: int
    center: tuple[float, float]
    half: tuple[float, float]
    yaw: float
    label: int
    texture: Texture

    def coordinates(self, points: Array) -> Array:
        """(u, v) on the plane, from -1 to 1 inside the decal."""
        u, v = (
            points[axis] - center
            for axis, center in zip(
                PLANE_AXES[self.plane], self.center, strict=True
            )
        )
        cosine, sine = np.cos(self.yaw), np.sin(self.yaw)
        return np.stack(
            [
                (cosine * u + sine * v) / self.half[0],
                (cosine * v - sine * u) / self.half[1],
            ]
        )


class Box(NamedTuple):
    """Standing upright, turned by `yaw` about its vertical axis."""

    center: tuple[float, float, float]
    half: tuple[float, float, float]
    yaw: float
    label: int
    texture: Texture

    def intersect(self, origin: Array, rays: Array) -> tuple[Array, Array]:
        turn = _turn(self.yaw)
        start = turn @ (origin - _column(self.center))
        local = turn @ rays
        half = _column(self.half)
        with np.errstate(divide="ignore", invalid="ignore"):
            low, high = (-half - start) / local, (half - start) / local
        enter = np.fmin(low, high)
        leave = np.fmax(low, high)
        leave = np.minimum(np.minimum(leave[0], leave[1]), leave[2])
        depth = np.maximum(np.maximum(enter[0], enter[1]), enter[2])
        hit = (depth <= leave) & (depth > NEAR)
        normal = np.where(enter == depth, -np.sign(local), 0)
        return np.where(hit, depth, np.inf), turn.T @ normal


class Ball(NamedTuple):
    center: tuple[float, float, float]
    radius: float
    label: int
    texture: Texture

    def intersect(self, origin: Array, rays: Array) -> tuple[Array, Array]:
        start = origin - _column(self.center)
        depth = _quadratic(
            _dot(rays, rays),
            _dot(start, rays),
            _dot(start, start) - self.radius**2,
        )
        reached = np.where(np.isfinite(depth), depth, 0)
        return depth, (start + reached * rays) / np.float32(self.radius)


class Cylinder(NamedTuple):
    """Standing upright; `center` is the middle of its axis."""

    center: tuple[float, float, float]
    radius: float
    half_height: float
    label: int
    texture: Texture

    def intersect(self, origin: Array, rays: Array) -> tuple[Array, Array]:
        start = origin - _column(self.center)
        flat, flat_start = rays[::2], start[::2]
        side = _quadratic(
            _dot(flat, flat),
            _dot(flat, flat_start),
            _dot(flat_start, flat_start) - self.radius**2,
        )
        side_point = start + _finite(side) * rays
        side[np.abs(side_point[1]) > self.half_height] = np.inf
        with np.errstate(divide="ignore", invalid="ignore"):
            top = (self.half_height - start[1]) / rays[1]
        top_point = start + _finite(top) * rays
        outside = _dot(top_point[::2], top_point[::2]) > self.radius**2
        top[outside | ~(top > NEAR)] = np.inf
        normal = side_point / np.float32(self.radius)
        normal[1] = 0
        normal[:, top < side] = _column((0, 1, 0))
        return np.minimum(side, top), normal


class Scene(NamedTuple):
    camera: Camera
    room: Room
    decals: tuple[Decal, ...]
    objects: tuple[Box | Ball | Cylinder, ...]
    light: tuple[float, float, float]
    ambient: float
    # A soft-edged half space without light: (unit normal, offset, darkness).
    shade: tuple[tuple[float, float, float], float, float]


class Picture(NamedTuple):
    """Maps of (size, size, channels), before any sensor.

    `normals` are in camera axes: right, up, towards the camera. `instance`
    counts the scene's objects and then its decals from 0; the room is -1.
    """

    color: Array
    albedo: Array
    shading: Array
    depth: Array
    normals: Array
    label: Array
    instance: Array


def render(scene: Scene, size: int, samples: int = 2) -> Picture:
    """Color is averaged over `samples` x `samples` rays a pixel.

    The maps that must not be blended (depth, normals, label, instance) come
    from one of these rays.
    """
    fine = size * samples
    origin = _column(scene.camera.position)
    rays = scene.camera.rays(fine)
    depth, normal, label, instance, albedo = _surfaces(scene, origin, rays)
    points = origin + depth * rays
    shading = _shading(scene, points, normal, instance, fine, samples)
    towards = scene.camera.rotation().T @ normal
    towards[2] *= -1

    def mean(values: Array) -> Array:
        grid = values.reshape(-1, size, samples, size, samples)
        return grid.mean(axis=(2, 4)).transpose(1, 2, 0)

    def pick(values: Array) -> Array:
        grid = values.reshape(-1, fine, fine)[:, ::samples, ::samples]
        return np.ascontiguousarray(grid.transpose(1, 2, 0))

    return Picture(
        mean(albedo * shading),
        mean(albedo),
        mean(shading),
        pick(depth),
        pick(towards),
        pick(label),
        pick(instance),
    )


def _surfaces(
    scene: Scene, origin: Array, rays: Array
) -> tuple[Array, Array, Array, Array, Array]:
    """What each ray meets first: depth, normal, label, instance, albedo."""
    depth, plane = scene.room.intersect(origin, rays)
    normal = np.zeros_like(rays)
    columns = np.arange(rays.shape[1])
    normal[plane // 2, columns] = np.where(plane % 2, -1, 1)
    instance = np.full(rays.shape[1], -1)
    for index, thing in enumerate(scene.objects):
        thing_depth, thing_normal = thing.intersect(origin, rays)
        nearer = thing_depth < depth
        depth[nearer] = thing_depth[nearer]
        normal[:, nearer] = thing_normal[:, nearer]
        instance[nearer] = index
    points = origin + depth * rays
    label = np.array(scene.room.labels)[plane]
    albedo = np.empty_like(rays)
    for index, texture in enumerate(scene.room.textures):
        on_plane = (plane == index) & (instance < 0)
        albedo[:, on_plane] = texture(points[:, on_plane])
    for index, decal in enumerate(scene.decals, len(scene.objects)):
        near = np.flatnonzero((plane == decal.plane) & (instance < 0))
        uv = decal.coordinates(points[:, near])
        inside = (np.abs(uv) < 1).all(axis=0)
        label[near[inside]] = decal.label
        instance[near[inside]] = index
        albedo[:, near[inside]] = decal.texture(uv[:, inside])
    for index, thing in enumerate(scene.objects):
        seen = instance == index
        label[seen] = thing.label
        albedo[:, seen] = thing.texture(points[:, seen] - _column(thing.center))
    return depth, normal, label, instance, albedo


def _shading(
    scene: Scene,
    points: Array,
    normal: Array,
    instance: Array,
    fine: int,
    samples: int,
) -> Array:
    """Lambert's law under one lamp, with shadows, and ambient light.

    Every ray of a pixel sees another corner of the lamp, which gives shadows
    a soft edge for free.
    """
    row, column = np.divmod(np.arange(fine * fine), fine)
    spread = 0.12 * samples / 2
    lamp = _column(scene.light) + spread * np.stack(
        [column % samples - 0.5, 0 * row, row % samples - 0.5]
    ).astype("float32")
    to_lamp = lamp - points
    distance = np.sqrt(_dot(to_lamp, to_lamp))
    facing = np.maximum(_dot(to_lamp, normal) / distance, 0)
    start = points + 2e-3 * normal
    lit = np.flatnonzero(facing > 0)
    for thing in scene.objects:
        depth, _ = thing.intersect(start[:, lit], to_lamp[:, lit])
        lit = lit[~(depth < 1)]
    direct = np.zeros_like(distance)
    direct[lit] = 0.9 * facing[lit] / (1 + 0.08 * distance[lit] ** 2)
    ambient = scene.ambient * (0.75 + 0.25 * normal[1])
    standing = (instance >= 0) & (instance < len(scene.objects))
    ambient *= np.where(standing, 1, _corner_shadow(scene, points))
    axis, offset, darkness = scene.shade
    edge = np.array(axis, "float32") @ points - offset
    dimmed = 1 - darkness / (1 + np.exp(-np.clip(edge * 12, -30, 30)))
    return ((ambient + direct) * dimmed)[None].astype("float32")


def _corner_shadow(scene: Scene, points: Array) -> Array:
    """Corners of a room get less of the light that comes from all around."""
    low, high = _column(scene.room.low), _column(scene.room.high)
    gaps = np.sort(np.minimum(points - low, high - points), axis=0)
    return 0.65 + 0.35 * np.clip(gaps[1] / 0.5, 0, 1)


def _column(vector: tuple[float, float, float]) -> Array:
    return np.array(vector, "float32")[:, None]


def _dot(a: Array, b: Array) -> Array:
    return np.einsum("ij,ij->j", a, b)


def _turn(yaw: float) -> Array:
    cosine, sine = np.cos(yaw), np.sin(yaw)
    return np.array(
        [[cosine, 0, -sine], [0, 1, 0], [sine, 0, cosine]], "float32"
    )


def _quadratic(square: Array, half_linear: Array, constant: Array) -> Array:
    """The smaller root of a t^2 + 2 b t + c, where it is in front"""
    inside = half_linear * half_linear - square * constant
    root = np.sqrt(np.maximum(inside, 0))
    with np.errstate(divide="ignore", invalid="ignore"):
        depth = (-half_linear - root) / square
    return np.where((inside >= 0) & (depth > NEAR), depth, np.inf)


def _finite(depth: Array) -> Array:
    return np.where(np.isfinite(depth), depth, 0)
