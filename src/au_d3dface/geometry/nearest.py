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
    used = np.unique(faces)
    nearest = used[cKDTree(vertices[used]).query(points, k=candidates)[1]].reshape(len(points), -1)
    row, triangle = _pairs(nearest, faces, len(vertices))
    if normals is not None:
        edges = vertices[faces[:, 1:]] - vertices[faces[:, :1]]
        across = np.cross(edges[:, 0], edges[:, 1])
        across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-18)
        same_way = (across[triangle] * normals[row]).sum(-1) >= least_cosine
        keep = same_way | (np.bincount(row[same_way], minlength=len(points)) == 0)[row]
        row, triangle = row[keep], triangle[keep]
    corners = vertices[faces[triangle]].astype(np.float64)
    weights = _closest_barycentric(points[row], corners)
    distance = np.linalg.norm((weights[..., None] * corners).sum(1) - points[row], axis=-1)
    order = np.lexsort((triangle, distance, row))
    best = order[np.flatnonzero(np.diff(row[order], prepend=-1))]
    return faces[triangle[best]].astype(np.int64), weights[best], distance[best]


def _pairs(nearest: np.ndarray, faces: np.ndarray, num_vertices: int) -> tuple[np.ndarray, np.ndarray]:
    """(L, k) vertices of L points to (M,) points and (M,) triangles that have any of them, each pair once, in order."""
    triangles = np.argsort(faces.ravel(), kind="stable") // 3  # by the vertex that they have
    counts = np.bincount(faces.ravel(), minlength=num_vertices)
    starts = np.cumsum(counts) - counts
    many = counts[nearest].ravel()
    inside = np.arange(many.sum()) - np.repeat(np.cumsum(many) - many, many)
    found = triangles[np.repeat(starts[nearest].ravel(), many) + inside]
    row = np.repeat(np.arange(len(nearest)), counts[nearest].sum(1))
    pairs = np.unique(row * len(faces) + found)
    return pairs // len(faces), pairs % len(faces)


def _closest_barycentric(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """(M, 3) points and (M, 3 corners, 3) to the barycentric coordinates (M, 3) of each triangle's nearest point."""
    a, ab, ac = corners[:, 0], corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    gram = np.stack([np.stack([(u * v).sum(-1) for v in (ab, ac)], -1) for u in (ab, ac)], -2)
    rhs = np.stack([(u * (points - a)).sum(-1) for u in (ab, ac)], -1)
    inner = np.linalg.solve(gram + 1e-18 * np.eye(2), rhs[..., None])[..., 0]
    inner = np.concatenate([1 - inner.sum(-1, keepdims=True), inner], -1)
    options = [inner]
    for i, j in ((0, 1), (1, 2), (2, 0)):
        edge = corners[:, j] - corners[:, i]
        share = np.clip(((points - corners[:, i]) * edge).sum(-1) / np.maximum((edge**2).sum(-1), 1e-18), 0, 1)
        option = np.zeros((len(corners), 3))
        option[:, i], option[:, j] = 1 - share, share
        options.append(option)
    stacked = np.stack(options, 1)  # (M, 4, 3)
    distance = np.linalg.norm((stacked[..., None] * corners[:, None]).sum(2) - points[:, None], axis=-1)
    distance[:, 0] = np.where((inner >= 0).all(-1), distance[:, 0], np.inf)
    return stacked[np.arange(len(corners)), distance.argmin(1)]
