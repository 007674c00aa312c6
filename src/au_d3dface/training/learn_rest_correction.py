"""Learns what the tracker gets wrong in the depth of faces at rest, from rendered people whose surfaces are known.

    python -m au_d3dface.training.learn_rest_correction --rendered DIR --rendered-held-out DIR --ict-facekit FILE \\
        --output rest_correction.safetensors

Each sequence gives one face at rest as landmark fitting tells it, and the person's own points, laid on it by a
similarity. What the points differ by in depth, without shift and tilt, is regressed (ridge) on principal components of
the fitted faces. Every face enters twice, as it is and mirrored. Writes the tensors of `coarse.rest_correction`, and
prints how far fitted faces of held-out people are from their own points, with the correction and without.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm

from ..coarse import LandmarkFitting
from ..coarse.rest_correction import LIMIT, RestCorrection
from ..data.synthetic.rendered_sequences import StoredSequences
from ..errors import AUD3DFaceError, InputError
from ..evaluation.synthetic_people.true_meshes import KitTruth
from ..export.files import atomic_path
from ..face_models import FaceMesh, ICTFaceKit
from ..geometry import similarity_alignment
from .learn_tracker_response import ridge
from .render_alignment import mirrored

TRAITS = 40
STRENGTH = 0.05
"""Principal components that say who a face is, and the ridge as a share of the number of faces."""

LEAST = 1e-3
"""What varies by less than this share of the first component is none."""

MIN_FRAMES = 20
"""Of a sequence in which the tracker found the face in fewer, the face at rest is hardly known."""


def faces_at_rest(stored: StoredSequences, truth: KitTruth) -> tuple[Tensor, Tensor]:
    """(R, 468, 3) faces at rest as landmarks alone say them, and the people's own points, laid on them.

    Raises:
        InputError: a shard is damaged, its people are none of the kit, or there are fewer than two faces.
    """
    fitting = LandmarkFitting(FaceMesh(), correct_rest=False)
    fitted, true = [], []
    for index in tqdm(range(len(stored)), unit="person", disable=None):
        sequence = stored(index)
        if sequence.face.valid.sum() < MIN_FRAMES:
            continue
        if not sequence.identity.any():
            raise InputError(f"{stored.folder} holds people who were not rendered; render some of ICT-FaceKit")
        neutral = fitting(sequence.face).neutral_vertices
        fitted.append(neutral)
        true.append(truth(sequence, neutral).rest)
    if len(fitted) < 2:
        raise InputError(
            f"{stored.folder} holds fewer than two people whose face was found in {MIN_FRAMES} frames; render more"
        )
    return torch.stack(fitted), torch.stack(true)


def learn(fitted: Tensor, true: Tensor) -> RestCorrection:
    """The correction, from (R, 468, 3) fitted faces and true points laid on them."""
    template = FaceMesh().template
    rotation, scale, translation = similarity_alignment(fitted, template.expand_as(fitted))
    faces = scale[:, None, None] * fitted @ rotation.mT + translation[:, None]
    faces = torch.cat([faces, mirrored(faces)])
    mean = faces.mean(0)
    mean = (mean + mirrored(mean)) / 2
    _, singular, directions = torch.linalg.svd((faces - mean).flatten(1), full_matrices=False)
    count = min(TRAITS, int((singular > LEAST * singular[0]).sum()))
    deviation = singular[:count] / len(faces) ** 0.5
    traits, symmetric = halves((directions[:count] / deviation[:, None]).unflatten(1, (-1, 3)))
    values = (faces - mean).flatten(1) @ traits.flatten(1).T

    depth = scale[:, None] * (true - fitted)[..., 2]
    depth = without_plane(torch.cat([depth, mirrored_depth(depth)]), mean)
    mean_depth = depth.mean(0)
    slopes = ridge(values, depth - mean_depth, STRENGTH * len(values))
    # To the last bit: what a symmetric trait does is symmetric.
    slopes = (slopes + torch.where(symmetric, 1.0, -1.0)[:, None] * mirrored_depth(slopes)) / 2
    return RestCorrection(mean, traits, (mean_depth + mirrored_depth(mean_depth)) / 2, slopes)


def halves(directions: Tensor) -> tuple[Tensor, Tensor]:
    """(K, 468, 3) principal components made symmetric or antisymmetric, whichever they nearly are, and (K,) which.

    Their sign, which is free, is such that the largest number is positive.
    """
    mirror = mirrored(directions)
    symmetric = (directions * mirror).sum((1, 2)) > 0
    directions = (directions + torch.where(symmetric, 1.0, -1.0)[:, None, None] * mirror) / 2
    largest = directions.flatten(1).gather(1, directions.flatten(1).abs().argmax(1, keepdim=True))
    return directions * largest.sign()[:, :, None], symmetric


def mirrored_depth(depth: Tensor) -> Tensor:
    """(..., 468) depths of the mirrored face."""
    return mirrored(torch.stack([torch.zeros_like(depth), torch.zeros_like(depth), depth], -1))[..., 2]


def without_plane(depth: Tensor, face: Tensor) -> Tensor:
    """(R, 468) depths without what a shift and a tilt of the (468, 3) face explain (least squares)."""
    plane = torch.stack([torch.ones(len(face)), face[:, 0], face[:, 1]], 1)
    basis, _ = torch.linalg.qr(plane)
    return depth - depth @ basis @ basis.T


def write(correction: RestCorrection, output: Path) -> None:
    """Positions as float32, differences as float16."""
    tensors = {"mean": correction.mean.contiguous()}
    tensors |= {name: getattr(correction, name).half().contiguous() for name in ("traits", "mean_depth", "depth")}
    with atomic_path(output) as temporary:
        save_file(tensors, temporary)


def report(correction: RestCorrection, fitted: Tensor, true: Tensor) -> str:
    """How far (R, 468, 3) fitted faces are from the true points after a similarity, with the correction and without."""
    corrected = torch.stack([face + correction(face) for face in fitted])
    lines = []
    for name, faces in (("landmarks alone", fitted), ("corrected", corrected)):
        rotation, scale, translation = similarity_alignment(true, faces)
        error = 1e3 * (scale[:, None, None] * true @ rotation.mT + translation[:, None] - faces)
        x, y, z = error.square().mean((0, 1)).sqrt().tolist()
        lines.append(
            f"{name}: {error.norm(dim=-1).mean():.2f} mm from the person's own points; "
            f"root mean square {x:.2f} in x, {y:.2f} in y, {z:.2f} in depth"
        )
    moved = 1e3 * (corrected - fitted)[..., 2].abs()
    lines.append(f"the correction moves a point by {moved.mean():.2f} mm, at most {moved.max():.1f}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m au_d3dface.training.learn_rest_correction", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--rendered", type=Path, required=True, help="folder of data.synthetic.rendered_sequences")
    parser.add_argument("--rendered-held-out", type=Path, required=True, help="the same, of other people")
    parser.add_argument("--ict-facekit", type=Path, required=True, help="ICT-FaceKit: its npz or folder")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args(arguments)
    try:
        truth = KitTruth(ICTFaceKit(options.ict_facekit))
        people, others = StoredSequences(options.rendered), StoredSequences(options.rendered_held_out)
        fitted, true = faces_at_rest(people, truth)
        correction = learn(fitted, true)
        write(correction, options.output)
        print(f"learned from {len(fitted)} people, traits followed up to {LIMIT:g} standard deviations")
        print(report(RestCorrection.load(options.output), *faces_at_rest(others, truth)))
    except AUD3DFaceError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())
