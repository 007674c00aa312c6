"""Table 1: distances of predicted meshes from true surfaces after ICP, mean, SD and median by method and region.

A method's meshes need not share the truth's topology, nor another method's. How they were aligned is part of the table.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from ...errors import InputError
from ...geometry import ICPSettings, Similarity, TriangleSurface, icp
from ...metrics import DistanceSummary, summarize_distances
from ..reports import cell, markdown_table, number


@dataclass(frozen=True)
class SequenceDistances:
    """One sequence of one method.

    Attributes:
        distances: (T, V) float32 millimetres, of every vertex from the true surface.
        iterations: (T,) look-ups of ICP; 0 without alignment.
        converged: (T,) bool; all True without alignment.
        settings: of ICP; None without alignment.
        aligned_vertices: how many vertices were aligned.
        transforms: T of them, from each mesh to its truth; none without alignment, or where they were not kept.
    """

    distances: np.ndarray
    iterations: np.ndarray
    converged: np.ndarray
    settings: ICPSettings | None
    aligned_vertices: int
    transforms: tuple[Similarity, ...] = ()


def sequence_distances(
    vertices: np.ndarray,
    true_vertices: np.ndarray,
    true_faces: np.ndarray,
    settings: ICPSettings | None = None,
    region: np.ndarray | None = None,
    start: Similarity | None = None,
    align: bool = True,
    name: str = "the sequence",
) -> SequenceDistances:
    """Aligns each mesh of a sequence to the true one of the same frame, and measures it.

    ICP starts from the frame before; in the first frame, and after a frame in which it did not converge, from `start`.

    Args:
        vertices: (T, V, 3) metres, T at least 1.
        true_vertices: (T, W, 3) metres. true_faces: (F, 3) of them.
        settings: of ICP; its defaults if None.
        region: (V,) bool, the vertices that are aligned; all are measured. None for all.
        start: identity if None.
        align: False measures the meshes where they are.
        name: of the sequence, for errors.

    Raises:
        InputError: frames that differ in number or are none, another topology, coordinates that are not finite, or a
            region of another mesh or of too few vertices; it says in which frame.
    """
    if len(vertices) != len(true_vertices):
        raise InputError(f"{name} has {len(vertices)} meshes and the truth {len(true_vertices)}; give the same frames")
    if not len(vertices):
        raise InputError(f"{name} has no meshes, so there is nothing to measure")
    settings = settings or ICPSettings()
    distances = np.empty(np.shape(vertices)[:2], np.float32)
    iterations, converged = np.zeros(len(vertices), np.int64), np.ones(len(vertices), bool)
    transform = start
    transforms = []
    for frame, (mesh, true) in enumerate(zip(vertices, true_vertices, strict=True)):
        try:
            surface = TriangleSurface(true, true_faces)
            if not align:
                distances[frame] = 1000 * surface.nearest(mesh).distances
                continue
            result = icp(mesh, surface, region, transform, settings)
            if region is None:
                distances[frame] = 1000 * result.distances
            else:
                distances[frame] = 1000 * surface.nearest(result.transform(mesh)).distances
        except ValueError as error:
            raise InputError(f"{name}, mesh {frame}: {error}") from error
        iterations[frame], converged[frame] = result.iterations, result.converged
        transforms.append(result.transform)
        transform = result.transform if result.converged else start
    aligned = 0 if not align else distances.shape[1] if region is None else int(np.sum(region))
    return SequenceDistances(distances, iterations, converged, settings if align else None, aligned, tuple(transforms))


@dataclass(frozen=True)
class MethodRow:
    """One method, all sequences pooled.

    Attributes:
        summaries: by region, and "all" last; every vertex of every mesh alike.
        meshes: how many. unconverged: in how many of them ICP stopped at its most iterations.
        mean_iterations: of ICP. aligned_vertices: of each mesh; 0 without alignment.
    """

    summaries: dict[str, DistanceSummary]
    meshes: int
    unconverged: int
    mean_iterations: float
    aligned_vertices: int


@dataclass(frozen=True)
class MeshTable:
    """Rows by method, and how all were aligned: `settings` of ICP, or None where they were not."""

    rows: dict[str, MethodRow]
    settings: ICPSettings | None

    def numbers(self) -> dict:
        """Everything, for JSON."""
        return {
            "icp": None if self.settings is None else {"kind": "vertex to surface, Huber"} | asdict(self.settings),
            "methods": {
                method: {
                    "meshes": row.meshes,
                    "icp_unconverged": row.unconverged,
                    "icp_mean_iterations": number(row.mean_iterations),
                    "icp_vertices": row.aligned_vertices,
                    "distances_mm": {
                        region: {"mean": number(part.mean), "sd": number(part.sd), "median": number(part.median)}
                        for region, part in row.summaries.items()
                    },
                }
                for method, row in self.rows.items()
            },
        }

    def text(self) -> str:
        """Two tables in Markdown, the whole and mean by region, and a line that says how the meshes were aligned."""
        regions = list(dict.fromkeys(name for row in self.rows.values() for name in row.summaries if name != "all"))
        whole = [
            [method, str(row.meshes), *(cell(value) for value in (part.mean, part.sd, part.median))]
            for method, row in self.rows.items()
            for part in [row.summaries["all"]]
        ]
        lines = ["Vertex to surface, mm:", "", markdown_table(["method", "meshes", "mean", "SD", "median"], whole)]
        if regions:
            by_region = [
                [method, *(cell(row.summaries[name].mean if name in row.summaries else None) for name in regions)]
                for method, row in self.rows.items()
            ]
            lines += ["", "Mean by region, mm:", "", markdown_table(["method", *regions], by_region)]
        return "\n".join([*lines, "", self.alignment()])

    def alignment(self) -> str:
        """A sentence that says how the meshes were aligned."""
        if self.settings is None:
            return "Measured where the meshes are, without alignment."
        kind = "with scale" if self.settings.with_scale else "rigid, without scale"
        unconverged = sum(row.unconverged for row in self.rows.values())
        iterations = ", ".join(f"{method} {row.mean_iterations:.1f}" for method, row in self.rows.items())
        return (
            f"Aligned by ICP, {kind}, Huber loss beyond {1000 * self.settings.huber:g} mm, at most "
            f"{self.settings.max_iterations} iterations (mean: {iterations}), {unconverged} meshes not converged."
        )


def mesh_table(
    methods: Mapping[str, Sequence[SequenceDistances]],
    regions: Mapping[str, Mapping[str, np.ndarray]] | None = None,
) -> MeshTable:
    """Pools the sequences of each method.

    Args:
        methods: name to its sequences, all aligned alike and, of one method, of one topology.
        regions: name of a method to its regions, each (V,) bool or (n,) vertices of its meshes; none where left out.

    Raises:
        InputError: no method, a method without sequences, of several topologies, or aligned unlike the others, or a
            region without vertices or of another mesh.
    """
    if not methods:
        raise InputError("there is no method to make a table of")
    rows, settings = {}, set()
    for method, sequences in methods.items():
        if not sequences:
            raise InputError(f"{method} has no sequences, so it has no row in the table")
        sizes = {part.distances.shape[1] for part in sequences}
        if len(sizes) > 1:
            raise InputError(
                f"the meshes of {method} have {' and '.join(map(str, sorted(sizes)))} vertices; give one topology"
            )
        settings |= {part.settings for part in sequences}
        distances = np.concatenate([part.distances for part in sequences])
        try:
            summaries = summarize_distances(distances, (regions or {}).get(method))
        except ValueError as error:
            raise InputError(f"{method}: {error}") from error
        rows[method] = MethodRow(
            summaries,
            len(distances),
            int(sum((~part.converged).sum() for part in sequences)),
            float(np.concatenate([part.iterations for part in sequences]).mean()),
            sequences[0].aligned_vertices,
        )
    if len(settings) > 1:
        raise InputError("the meshes of a table must all be aligned alike, with the same settings of ICP")
    return MeshTable(rows, settings.pop())
