"""FLAME (Li et al. 2017) as a face model: 5,023 vertices, identity, expression, and joints of neck, jaw and eyes.

vertices = skinning(template + shape basis · shape + expression basis · expression + pose basis · (R - I), joints, R)

Everything is read from the one file that `au-d3dface assets convert flame` wrote; nothing of FLAME is in the package.
Vertices are where FLAME has them: metres, x to the subject's left, y up, z out of the face, its own origin. The global
rotation turns everything about the first joint, so it is head pose and no part of the canonical head frame:
`separate_head_pose` takes it out of a pose.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from .. import facs
from ..assets.converted import Shape, find_converted, read_converted
from ..errors import CheckpointError
from ..geometry import axis_angle_to_matrix
from .base import FaceModel, LandmarkEmbedding
from .flame_landmarks import ContourLandmarks
from .skinning import skin

NUM_VERTICES, NUM_FACES, NUM_SHAPE, NUM_EXPRESSION = 5023, 9976, 300, 100
JOINTS = ("global", "neck", "jaw", "left eye", "right eye")
NUM_POSE = 3 * len(JOINTS)
KIND = "flame"

VERSIONS = ("2017", "2019", "2020", "2023", "2023-no-jaw", "2023-open")
"""Releases of FLAME. They share the topology; coefficients of one are other faces in another."""

_JOINTS = len(JOINTS)
SHAPES: dict[str, Shape] = {
    "template": (NUM_VERTICES, 3),
    "shape_basis": (NUM_SHAPE, NUM_VERTICES, 3),
    "expression_basis": (NUM_EXPRESSION, NUM_VERTICES, 3),
    "pose_basis": (9 * (_JOINTS - 1), NUM_VERTICES, 3),
    "joint_regressor": (_JOINTS, NUM_VERTICES),
    "skinning_weights": (NUM_VERTICES, _JOINTS),
    "parents": (_JOINTS,),
    "faces": (NUM_FACES, 3),
}
"""What a converted file holds, beside the optional tensors of OPTIONAL."""

OPTIONAL: dict[str, Shape] = {
    "landmarks_68_triangles": (68,),
    "landmarks_68_barycentric": (68, 3),
    "landmarks_static_triangles": (51,),
    "landmarks_static_barycentric": (51, 3),
    "landmarks_contour_triangles": (79, 17),
    "landmarks_contour_barycentric": (79, 17, 3),
    "landmarks_468_triangles": (468,),
    "landmarks_468_barycentric": (468, 3),
    "au_regions": (len(facs.ALL), NUM_VERTICES),
    "texture_coordinates": (None, 2),
    "texture_faces": (NUM_FACES, 3),
    "regions": (None, NUM_VERTICES),
}


class FLAME(FaceModel):
    """The FLAME head.

    `shape` is up to 300 identity coefficients, `expression` up to 100, `pose` 15 axis-angle numbers (global, neck, jaw,
    left eye, right eye) or DECA's 6 (global, jaw). Landmarks, AU masks, texture coordinates and named regions are there
    where the user's files gave them.

    Attributes beside those of `FaceModel`:
        version: the release, one of VERSIONS.
        sources: name and SHA-256 of the files that the model was converted from.
        contour_landmarks: the 68 points with the outline that follows the yaw, or None.
        regions: the authors' masks by name, (V,) bool each; empty where there are none.
        texture_coordinates, texture_faces: (U, 2) in [0, 1] with v up, and (9976, 3) rows of it, or None. Vertices on
            seams have several places in the picture, which one place a vertex cannot say: `uv` is None.
        pose_basis: (36, V, 3); joint_regressor: (5, V); skinning_weights: (V, 5); parents: five numbers, -1 first.

    Args:
        path: the converted file or its folder; None for where `find_flame` finds it.

    Raises:
        CheckpointError: the file is missing, damaged, or not a converted FLAME.
    """

    name = KIND
    licensed = True

    def __init__(self, path: str | Path | None = None) -> None:
        super().__init__()
        stored = read_converted(find_flame(path), KIND, SHAPES, OPTIONAL)
        tensors, information = stored.tensors, stored.information
        if information.get("version") not in VERSIONS:
            raise CheckpointError(f"{stored.path} does not say which FLAME it is; convert the authors' file again.")
        self.version: str = information["version"]
        self.sources = stored.sources
        self.parents = tuple(tensors["parents"].tolist())
        self._check_indices(stored.path, tensors)
        self.register_buffer("template", tensors["template"].float())
        for name in ("shape_basis", "expression_basis", "pose_basis"):
            # Kept coordinate by coordinate, and shown as (K, V, 3): skinning then runs along V without strides.
            self.register_buffer(name, tensors[name].float().transpose(1, 2).contiguous().transpose(1, 2))
        self.register_buffer("joint_regressor", tensors["joint_regressor"].float())
        self.register_buffer("skinning_weights", tensors["skinning_weights"].float())
        # Joints are linear in the coefficients too, (K, 5, 3): no mesh is needed to place them.
        for name in ("template", "shape_basis", "expression_basis"):
            self.register_buffer(f"_joint_{name}", self.joint_regressor @ getattr(self, name), persistent=False)
        self.register_buffer("faces", tensors["faces"].long())
        for name in ("texture_coordinates", "texture_faces", "au_regions"):
            self.register_buffer(name, tensors.get(name))
        self.register_buffer("uv", None)
        names = information.get("regions", [])
        self.regions = {name: row.bool() for name, row in zip(names, tensors.get("regions", ()), strict=True)}
        self.landmarks_68 = _embedding(tensors, "68")
        self.landmarks_468 = _embedding(tensors, "468")
        self.contour_landmarks = None
        if "landmarks_contour_triangles" in tensors:
            self.contour_landmarks = ContourLandmarks(
                LandmarkEmbedding(tensors["landmarks_contour_triangles"], tensors["landmarks_contour_barycentric"]),
                LandmarkEmbedding(tensors["landmarks_static_triangles"], tensors["landmarks_static_barycentric"]),
            )

    @staticmethod
    def _check_indices(path: Path, tensors: dict[str, Tensor]) -> None:
        limits = {"faces": NUM_VERTICES} | {name: NUM_FACES for name in tensors if name.endswith("_triangles")}
        if "texture_faces" in tensors:
            limits["texture_faces"] = len(tensors.get("texture_coordinates", ()))
        for name, limit in limits.items():
            if tensors[name].is_floating_point() or tensors[name].min() < 0 or tensors[name].max() >= limit:
                raise CheckpointError(f"{path} has a tensor {name!r} that points outside the mesh; convert it again.")
        parents = tensors["parents"].tolist()
        if parents[0] != -1 or any(not 0 <= parent < child for child, parent in enumerate(parents[1:], 1)):
            raise CheckpointError(f"{path} has joints that hang on no earlier joint; convert the authors' file again.")

    def forward(self, shape: Tensor, expression: Tensor, pose: Tensor | None = None) -> Tensor:
        """Vertices of faces with these coefficients and this pose.

        Args:
            shape: (..., S) identity coefficients; fewer than 300 are zero-padded.
            expression: (..., E) expression coefficients; fewer than 100 are zero-padded.
            pose: (..., 15) or DECA's (..., 6), see `full_pose`; None for no rotation at all. Leading dimensions of the
                three are broadcast: one identity for a whole clip costs as much as one frame.

        Returns:
            (..., V, 3) metres: in the canonical head frame if the first three numbers of the pose are zero.

        Raises:
            ValueError: a wrong number of coefficients.
        """
        self._check_coefficients(shape, expression)
        posed = _blend(_planar(self.template).flatten(), shape, self.shape_basis)
        posed = _blend(posed, expression, self.expression_basis)
        if pose is None:
            return posed.unflatten(-1, (3, -1)).transpose(-1, -2).contiguous()
        rotations = axis_angle_to_matrix(self.full_pose(pose).unflatten(-1, (_JOINTS, 3)))  # (..., 5, 3, 3)
        correctives = (rotations[..., 1:, :, :] - torch.eye(3).to(rotations)).flatten(-3)
        posed = _blend(posed, correctives, self.pose_basis)
        lead = posed.shape[:-1]  # of all three together
        joints = self.joints(shape, expression).expand(*lead, -1, -1)
        transforms = self._transforms(rotations.expand(*lead, -1, -1, -1), joints)
        return skin(posed.unflatten(-1, (3, -1)), transforms, self.skinning_weights)

    def joints(self, shape: Tensor, expression: Tensor) -> Tensor:
        """(..., 5, 3) metres: the joints before any rotation, in the order of JOINTS."""
        identity = torch.tensordot(shape, self._joint_shape_basis[: shape.shape[-1]], dims=1)
        motion = torch.tensordot(expression, self._joint_expression_basis[: expression.shape[-1]], dims=1)
        return self._joint_template + identity + motion

    def full_pose(self, pose: Tensor) -> Tensor:
        """(..., 15) of a pose of 15 numbers, or of DECA's 6 (global, jaw), whose neck and eyes are at rest.

        Raises:
            ValueError: another number of them.
        """
        if pose.shape[-1] == NUM_POSE:
            return pose
        if pose.shape[-1] != 6:
            raise ValueError(f"a pose of FLAME is 15 numbers, or 6 (global and jaw), not {pose.shape[-1]}")
        rest = torch.zeros_like(pose)
        return torch.cat([pose[..., :3], rest[..., :3], pose[..., 3:], rest], -1)

    def separate_head_pose(self, shape: Tensor, expression: Tensor, pose: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Takes the global rotation out of a pose: it is where the head looks, not what the face does.

        model(shape, expression, pose) = rotation · model(shape, expression, rest) + translation. A turned neck stays,
        since it bends the mesh.

        Returns:
            rest (..., 15), the pose without global rotation; rotation (..., 3, 3); translation (..., 3), metres.
        """
        full = self.full_pose(pose)
        rest = torch.cat([torch.zeros_like(full[..., :3]), full[..., 3:]], -1)
        rotation = axis_angle_to_matrix(full[..., :3])
        root = self.joints(shape, expression)[..., 0, :]
        return rest, rotation, root - (rotation @ root[..., None])[..., 0]

    def require_version(self, version: str, what: str) -> None:
        """Refuses coefficients that were made for another release: they would be another face in this one.

        Args:
            version: the release that they were made for, one of VERSIONS.
            what: what they are, for the sentence: "the coefficients of clip.npz".

        Raises:
            CheckpointError: this is another release.
        """
        if self.version != version:
            raise CheckpointError(
                f"{what} belong to FLAME {version}, and this is FLAME {self.version}, in which they would be another "
                f"face: convert the files of FLAME {version} and give their folder"
            )

    def au_masks(self, action_units: Sequence[int]) -> Tensor:
        """(N, 5023) in {0, 1}: regions that the project derived for this mesh, see `flame_regions`.

        Raises:
            ValueError: an action unit that is not in `facs.ALL`, or a model without landmarks, from which the regions
                are derived.
        """
        if self.au_regions is None:
            raise ValueError(
                "this FLAME has no AU regions, because it was converted without landmarks: convert it again with "
                "landmark_embedding.npy"
            )
        unknown = [number for number in action_units if number not in facs.ALL]
        if unknown:
            raise ValueError(f"the face model 'flame' has no region for {facs.label(unknown[0])}")
        return self.au_regions[[facs.ALL.index(number) for number in action_units]].to(self.template.dtype)

    def _check_coefficients(self, shape: Tensor, expression: Tensor) -> None:
        for name, given, basis in (
            ("shape", shape, self.shape_basis),
            ("expression", expression, self.expression_basis),
        ):
            if given.shape[-1] > len(basis):
                raise ValueError(f"FLAME has {len(basis)} {name} coefficients, not {given.shape[-1]}")

    def _transforms(self, rotations: Tensor, joints: Tensor) -> Tensor:
        """(..., 5, 3, 4): what each joint does to a point at rest, rotation and translation side by side."""
        turned: list[Tensor] = []
        placed: list[Tensor] = []
        for joint, parent in enumerate(self.parents):
            if parent < 0:
                turned.append(rotations[..., joint, :, :])
                placed.append(joints[..., joint, :, None])
            else:
                turned.append(turned[parent] @ rotations[..., joint, :, :])
                bone = (joints[..., joint, :] - joints[..., parent, :])[..., None]
                placed.append(turned[parent] @ bone + placed[parent])
        rotation, place = torch.stack(turned, -3), torch.stack(placed, -3)  # (..., 5, 3, 3) and (..., 5, 3, 1)
        return torch.cat([rotation, place - rotation @ joints[..., None]], -1)


def find_flame(path: str | Path | None = None) -> Path:
    """The converted FLAME: `path` (the file or its folder), else what AU_D3DFACE_FLAME names, else the default one.

    Raises:
        CheckpointError: none is there; the sentence says how to make one.
    """
    return find_converted(KIND, path)


def _planar(vertices: Tensor) -> Tensor:
    """(..., V, 3) as (..., 3, V)."""
    return vertices.transpose(-1, -2)


def _blend(base: Tensor, coefficients: Tensor, basis: Tensor) -> Tensor:
    """base (..., 3V) plus Σ_k coefficients (..., k) · basis (K, V, 3), planar; leading dimensions are broadcast."""
    directions = _planar(basis[: coefficients.shape[-1]]).flatten(1)
    lead, size = coefficients.shape[:-1], directions.shape[1]
    flat = coefficients.reshape(math.prod(lead), coefficients.shape[-1])
    if base.ndim == 1 or base.shape[:-1] == lead:  # in one operation, where nothing has to be repeated
        start = base if base.ndim == 1 else base.reshape(len(flat), size)
        return torch.addmm(start, flat, directions).view(*lead, size)
    return base + (flat @ directions).view(*lead, size)


def _embedding(tensors: dict[str, Tensor], kind: str) -> LandmarkEmbedding | None:
    name = f"landmarks_{kind}"
    if f"{name}_triangles" not in tensors:
        return None
    return LandmarkEmbedding(tensors[f"{name}_triangles"].long(), tensors[f"{name}_barycentric"].float())
