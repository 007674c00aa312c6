"""The regions of the 468-vertex face, for errors that say where.

Each vertex belongs to the region whose nearest landmark, on the face at rest, is nearest to it. The landmarks are those
along the brows, lids, lips and so on; regions are therefore disjoint, cover the face, and are the same left and right.
"""

from functools import cache

import torch
from torch import Tensor

from ..face_models import FaceMesh
from ..tracking.topology import boundary_loops, mirror_indices

# Landmarks of the middle and of the subject's right, which the left mirrors; found by drawing regions and looking.
_LANDMARKS = {
    "forehead": (
        *(10, 109, 67, 103, 54, 21),  # the outline
        *(151, 108, 69, 104, 68, 71, 139),  # one row below
    ),
    "brows": (
        *(8, 9),  # between the brows
        *(107, 66, 105, 63, 70, 156),  # upper edge, inner to outer
        *(55, 65, 52, 53, 46),  # lower edge
    ),
    "eyes": (
        *(190, 56, 28, 27, 29, 30, 247, 130, 25, 110, 24, 23, 22, 26, 112, 243),  # the lids
        *(221, 222, 223, 224, 225, 113, 226, 31, 228, 229, 230, 231, 232, 233, 244),  # the fold above, the bag below
    ),
    "nose": (
        *(168, 6, 197, 195, 5, 4, 1, 19, 94, 2),  # the middle, from the root down
        *(193, 122, 188, 196, 174, 236, 198, 131),  # the side
        *(49, 48, 64, 98, 97, 240, 129),  # the wing and its base
    ),
    "cheeks": (
        *(117, 118, 119, 120, 100, 101, 36, 50, 123, 116, 142, 126),  # below the eye
        *(205, 187, 147, 207, 206, 203, 213, 177, 137),  # down to the level of the mouth
        *(227, 34, 143, 127, 234, 93, 132),  # out to the ear
    ),
    "mouth": (
        *(0, 37, 39, 40, 185, 61, 146, 91, 181, 84, 17),  # the outer edge of the lips
        *(164, 167, 165, 92, 186, 57, 43, 106, 182, 83, 18),  # the skin around
    ),
    "jaw": (
        *(152, 148, 176, 149, 150, 136, 172, 58),  # the outline
        *(171, 175, 199, 200, 201, 208, 32, 140),  # the chin
        *(138, 135, 169, 170, 211, 214, 192, 210, 202, 204, 194),  # between chin, mouth and outline
    ),
}
REGIONS = tuple(_LANDMARKS)
"""Names, from the top of the face down."""


@cache
def _assignment() -> Tensor:
    """(468,) int64, the row of `REGIONS` of each vertex."""
    mirror = torch.from_numpy(mirror_indices())
    loops = boundary_loops()
    template = FaceMesh().template
    template = (template + template[mirror] * torch.tensor([-1.0, 1.0, 1.0])) / 2  # symmetric to the last bit
    added = {"eyes": loops["right_eye"], "mouth": loops["mouth"]}
    distances = []
    for name, landmarks in _LANDMARKS.items():
        seeds = torch.tensor([*landmarks, *added.get(name, ())])
        seeds = torch.cat([seeds, mirror[seeds]])
        distance = torch.cdist(template.double(), template[seeds].double()).amin(1)
        distances.append(torch.minimum(distance, distance[mirror]))
    return torch.stack(distances).argmin(0)


def facemesh_regions() -> dict[str, Tensor]:
    """Each region's vertices: name to (n,) int64, increasing; every vertex is in one region."""
    assignment = _assignment()
    return {name: torch.nonzero(assignment == row)[:, 0] for row, name in enumerate(REGIONS)}


def region_means(values: Tensor) -> dict[str, Tensor]:
    """Means over the vertices of each region, and over all.

    Args:
        values: (..., 468), such as `vertex_distance` and `displacement_distance` give.

    Returns:
        (...) for each of `REGIONS`, and for "all".

    Raises:
        ValueError: another number of vertices.
    """
    if values.shape[-1] != len(_assignment()):
        raise ValueError(f"regions are known of the face with {len(_assignment())} vertices, not {values.shape[-1]}")
    means = {name: values[..., vertices].mean(-1) for name, vertices in facemesh_regions().items()}
    return means | {"all": values.mean(-1)}
