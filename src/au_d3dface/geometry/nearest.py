"""The nearest points of a triangle mesh, with the triangles that they lie in."""

import numpy as np
from scipy.spatial import cKDTree


def nearest_on_surface(
    points: np.ndarray,
    vertices: np.ndarray,
    faces: np.ndarray,
    candidates: int = 8,
    normals: np.ndarray | None = None,
    least_cosine: float = 0.2,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The nearest points of a triangle mesh, among the triangles around each point's nearest vertices.

    Args:
        points: (L, 3).
        vertices: (V, 3).
        faces: (F, 3).
        candidates: how many nearest vertices.
        normals: (L, 3) unit normals at the points; then only triangles count whose normal makes at least `least_cosine`
            with it, as long as there are any.

    Returns:
        corners (L, 3) vertices of the triangle, barycentric (L, 3), distance (L,).
    """
    edges = vertices[faces[:, 1:]] - vertices[faces[:, :1]]
    across = np.cross(edges[:, 0], edges[:, 1])
    across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-18)
    used = np.unique(faces)
    nearest = used[cKDTree(vertices[used]).query(points, k=candidates)[1]]
    of_vertex: dict[int, list[int]] = {}
    for row, corners in enumerate(faces.tolist()):
        for corner in corners:
            of_vertex.setdefault(corner, []).append(row)
    result = np.zeros((len(points), 3), np.int64), np.zeros((len(points), 3)), np.zeros(len(points))
    for i, point in enumerate(points):
        rows = np.array(sorted({row for vertex in nearest[i].tolist() for row in of_vertex[vertex]}))
        if normals is not None:
            same_way = across[rows] @ normals[i] >= least_cosine
            rows = rows[same_way] if same_way.any() else rows
        weights = _closest_barycentric(point, vertices[faces[rows]].astype(np.float64))
        distance = np.linalg.norm((weights[..., None] * vertices[faces[rows]]).sum(1) - point, axis=-1)
        best = distance.argmin()
        result[0][i], result[1][i], result[2][i] = faces[rows[best]], weights[best], distance[best]
    return result


def _closest_barycentric(point: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """(3,) and (F, 3 corners, 3) to the barycentric coordinates (F, 3) of each triangle's nearest point."""
    a, ab, ac = corners[:, 0], corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    gram = np.stack([np.stack([(u * v).sum(-1) for v in (ab, ac)], -1) for u in (ab, ac)], -2)
    rhs = np.stack([(u * (point - a)).sum(-1) for u in (ab, ac)], -1)
    inner = np.linalg.solve(gram + 1e-18 * np.eye(2), rhs[..., None])[..., 0]
    inner = np.concatenate([1 - inner.sum(-1, keepdims=True), inner], -1)
    options = [inner]
    for i, j in ((0, 1), (1, 2), (2, 0)):
        edge = corners[:, j] - corners[:, i]
        share = np.clip(((point - corners[:, i]) * edge).sum(-1) / np.maximum((edge**2).sum(-1), 1e-18), 0, 1)
        option = np.zeros((len(corners), 3))
        option[:, i], option[:, j] = 1 - share, share
        options.append(option)
    stacked = np.stack(options, 1)  # (F, 4, 3)
    distance = np.linalg.norm((stacked[..., None] * corners[:, None]).sum(2) - point, axis=-1)
    distance[:, 0] = np.where((inner >= 0).all(-1), distance[:, 0], np.inf)
    return stacked[np.arange(len(corners)), distance.argmin(1)]
