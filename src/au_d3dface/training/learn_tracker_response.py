"""Measures how MediaPipe answers identities, action units and poses, on tracked renders.

    python -m au_d3dface.training.learn_tracker_response --renders DIR --ict-facekit FILE --jitter-landmarks NPY ... \\
        --output tracker_response.safetensors

Writes the tensors of `data.synthetic.tracker_response.TrackerResponse`. Everything is a ridge regression or a principal
component analysis; every sample enters twice, as it is and mirrored.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from scipy.optimize import nnls
from torch import Tensor

from .. import facs
from ..data.synthetic.tracked_renders import load_shards
from ..data.synthetic.tracker_response import pose_features
from ..errors import AUD3DFaceError, InputError
from ..export.files import atomic_path
from ..face_models import FaceMesh, ICTFaceKit
from ..tracking import NUM_LANDMARKS
from .learn_facemesh import principal_modes
from .render_alignment import IMAGE_TO_HEAD, align_renders, mirrored, robust_alignment

PAIRS = ((6, 12), (12, 25), (25, 26), (1, 2), (1, 4), (4, 7), (15, 17), (17, 24), (9, 10), (20, 25), (10, 25))
NUM_AU = len(facs.ALL)
IDENTITY_MODES, VARIATION_FACTORS, NOISE_FACTORS, POSE_FACTORS, JITTER_FACTORS = 60, 3, 24, 16, 24


def euler_angles(rotation: Tensor) -> Tensor:
    """(R, 3, 3) of `scenes.euler_rotation` to (R, 3): yaw, pitch, roll."""
    yaw = torch.asin((-rotation[:, 2, 0]).clamp(-1, 1))
    pitch = torch.atan2(rotation[:, 2, 1], rotation[:, 2, 2])
    roll = torch.atan2(rotation[:, 1, 0], rotation[:, 0, 0])
    return torch.stack([yaw, pitch, roll], -1)


def ridge(features: Tensor, targets: Tensor, strength: float) -> Tensor:
    """(R, K) and (R, ...) to (K, ...): least squares with `strength` added to the diagonal of the Gram matrix."""
    gram = features.T @ features + strength * torch.eye(features.shape[1])
    return torch.linalg.solve(gram, features.T @ targets.flatten(1)).unflatten(1, targets.shape[1:])


def mirrored_shapes(names: tuple[str, ...]) -> Tensor:
    """(E,) the index of each ICT shape's mirror image."""
    swap = {"_L": "_R", "_R": "_L"}
    pairs = {"jawLeft": "jawRight", "jawRight": "jawLeft", "mouthLeft": "mouthRight", "mouthRight": "mouthLeft"}
    names_of_mirror = [pairs.get(n, n[:-2] + swap[n[-2:]] if n[-2:] in swap else n) for n in names]
    return torch.tensor([names.index(n) for n in names_of_mirror])


def person_means(points: Tensor, person: np.ndarray, rows: np.ndarray) -> Tensor:
    """(people, P, 3): the mean of each person's rows, of points (R, P, 3), person (R,) and rows (R,) bool."""
    return torch.stack([points[torch.from_numpy(rows & (person == p))].mean(0) for p in np.unique(person[rows])])


def measure_expressions(motion: Tensor, units: Tensor, other: Tensor, left: Tensor) -> dict[str, Tensor]:
    """The tracker's answer to action units.

    Args:
        motion: (R, 478, 3) tracked displacement from rest, samples and their mirror images.
        units: (R, 19, 2) activations. other: (R, 57) weights of shapes that are no AU.
        left: (478,) in 0-1, how much a point belongs to the subject's left.

    Raises:
        InputError: too few samples.
    """
    both = units.mean(-1)
    pairs = [(facs.ALL.index(a), facs.ALL.index(b)) for a, b in PAIRS]
    products = torch.stack([both[:, a] * both[:, b] for a, b in pairs], -1)
    linear = units.flatten(1)
    features = torch.cat([linear, linear**2, products, other], 1)
    # Squares and products are held back more, so that they speak only where the linear part does not suffice.
    penalty = torch.full((features.shape[1],), 2.0)
    penalty[: linear.shape[1]] = 0.3
    scaled = features / penalty.sqrt()
    weights = ridge(scaled, motion, 1.0) / penalty.sqrt()[:, None, None]
    residual = motion - predict(features, weights)
    print(f"tracked motion {rms(motion):.2f} mm a point; left over {rms(residual):.2f} mm, of which")
    for name, kept in (("linear parts only", linear), ("with squares", torch.cat([linear, linear**2], 1))):
        kept = torch.cat([kept, other], 1)
        print(f"  {name}: {rms(motion - predict(kept, ridge(kept, motion, 0.5))):.2f} mm")

    # A face with one AU: E|residual|² = noise + variation_k · activation², by least squares over all AUs at once.
    alone = ((both > 0.02).sum(1) == 1) & (other.abs().amax(1) < 0.05)
    energy = residual[alone].square().sum((1, 2))
    parts, _ = nnls(torch.cat([torch.ones(len(energy), 1), both[alone] ** 2], 1).numpy(), energy.numpy())
    variation = motion.new_zeros(NUM_AU, 2, VARIATION_FACTORS, *motion.shape[1:])
    halves = torch.stack([left, 1 - left])[:, None, :, None]
    for k in range(NUM_AU):
        rows = alone & (both[:, k] > 0.3)
        if rows.sum() < VARIATION_FACTORS:
            raise InputError(f"too few renders show {facs.label(facs.ALL[k])} strongly and alone; render more people")
        modes, variance = principal_modes(residual[rows], VARIATION_FACTORS)
        variation[k] = halves * modes * (parts[1 + k] / variance.sum()) ** 0.5
    noise, variance = principal_modes(residual[alone & (both.amax(1) < 0.5)], NOISE_FACTORS)
    noise = noise * (parts[0] / variance.sum()) ** 0.5
    spread = [f"{facs.label(n)} {1e3 * (v / 468) ** 0.5:.2f}" for n, v in zip(facs.ALL, parts[1:], strict=True)]
    print(f"people differ in the answer at activation 1, mm a point: {', '.join(spread)}")
    print(f"expression noise {1e3 * (parts[0] / 468) ** 0.5:.2f} mm a point")
    count = linear.shape[1]
    return {
        "tracked_linear": weights[:count].unflatten(0, (NUM_AU, 2)),
        "tracked_quadratic": weights[count : 2 * count].unflatten(0, (NUM_AU, 2)),
        "tracked_pair": weights[2 * count : 2 * count + len(PAIRS)],
        "tracked_other": weights[2 * count + len(PAIRS) :] * (other.abs().amax(0) > 0)[:, None, None],
        "tracked_variation": variation,
        "expression_noise": noise,
    }


def measure_rest(
    points: Tensor, true_points: Tensor, angles: Tensor, person: np.ndarray, template: Tensor
) -> dict[str, Tensor]:
    """People at rest, and what the pose does to them.

    Args:
        points: (R, 478, 3) tracked points at rest, aligned. true_points: (R, 468, 3) metres. angles: (R, 3).
        person: (R,) number of the person. template: (468, 3).
    """
    everyone = np.ones(len(person), bool)
    means = person_means(points, person, everyone)
    index = torch.from_numpy(np.unique(person, return_inverse=True)[1])
    centred = points - means[index]
    features = pose_features(*angles.unbind(-1))
    features = features - person_means(features[:, None], person, everyone)[index, 0]
    flip = torch.tensor([-1.0, 1.0, -1.0, 1.0, 1.0, 1.0, -1.0])  # yaw and roll change sign in a mirror
    both = torch.cat([features, features * flip]), torch.cat([centred, mirrored(centred)])
    error = ridge(*both, 0.1)
    left_over = both[1] - predict(both[0], error)
    pose_modes, variance = principal_modes(left_over, POSE_FACTORS)
    # Deviations from a person's mean of three poses are smaller than those from the truth.
    pose_modes = pose_modes * (3 / 2) ** 0.5
    print(f"pose: {rms(centred):.2f} mm a point around a person's mean, {rms(left_over):.2f} mm after the mean effect")

    # The person at rest as seen from the front: the pose's mean effect is taken out before averaging.
    frontal = points - predict(pose_features(*angles.unbind(-1)), error)
    tracked = person_means(frontal, person, everyone)
    true = person_means(true_points, person, everyone)
    centre = true.mean(1, keepdim=True)
    sizes = (true - centre).square().sum((1, 2)).sqrt()
    true = robust_alignment(true, tracked[:, :468])
    tracked_all, true_all = torch.cat([tracked, mirrored(tracked)]), torch.cat([true, mirrored(true)])
    tracked_mean, true_mean = tracked_all.mean(0), true_all.mean(0)
    joint = torch.cat([tracked_all - tracked_mean, true_all - true_mean], 1)
    modes, variance = principal_modes(joint, IDENTITY_MODES)
    print(f"identity: {len(modes)} joint modes hold {variance[: len(modes)].sum() / variance.sum():.1%}")
    print(f"tracked and true faces at rest differ by {rms(tracked[:, :468] - true):.2f} mm a point")
    return {
        "tracked_mean": tracked_mean,
        "true_mean": true_mean,
        "tracked_identity": modes[:, : tracked.shape[1]],
        "true_identity": modes[:, tracked.shape[1] :],
        "size_deviation": sizes.log().std(),
        "pose_error": error,
        "pose_variation": pose_modes,
    }


def measure_jitter(clips: list[np.ndarray], template: Tensor) -> Tensor:
    """(F, 478, 3) factors of the noise of single frames, from landmarks (T, 478, 3) of real video.

    White noise of variance v has second differences x[t-1] - 2 x[t] + x[t+1] of variance 6 v; of these the calmer half
    of the frames is taken, in which the face hardly moves.
    """
    samples = []
    for clip in clips:
        found = clip[np.isfinite(clip[:, 0, 0])]
        points = robust_alignment(torch.from_numpy(found) * IMAGE_TO_HEAD, template)
        second = (points[2:] - 2 * points[1:-1] + points[:-2]) / 6**0.5
        size = second.square().mean((1, 2))
        samples.append(second[size <= size.median()])
        width = np.ptp(found[..., 0], axis=1).mean()
        print(f"jitter of a face {width:.0f} pixels wide: {rms(samples[-1]):.3f} mm a point")
    both = torch.cat(samples)
    return principal_modes(torch.cat([both, mirrored(both)]), JITTER_FACTORS)[0]


def predict(features: Tensor, weights: Tensor) -> Tensor:
    """(R, K) and (K, ...) to (R, ...)."""
    return torch.tensordot(features, weights, dims=1)


def rms(points: Tensor) -> float:
    """Root mean square length over points of the face, millimetres."""
    return 1e3 * float(points[..., :468, :].square().sum(-1).mean().sqrt())


def read_landmarks(path: str | Path) -> np.ndarray:
    """(T, 478, 3) float32 of a real clip, NaN where the face was lost; three frames or more.

    Raises:
        InputError: the file is missing, damaged or something else.
    """
    try:
        clip = np.load(path, allow_pickle=False)
        if clip.ndim != 3 or clip.shape[1:] != (NUM_LANDMARKS, 3) or len(clip) < 3:
            raise ValueError(f"it has the shape {clip.shape}")
    except (OSError, ValueError, AttributeError, EOFError) as error:
        raise InputError(f"{path} does not hold landmarks (T, 478, 3) of a clip ({error}); give another npy") from error
    return clip.astype(np.float32)


@torch.no_grad()
def learn(renders: dict[str, np.ndarray], kit: ICTFaceKit, clips: list[np.ndarray], output: Path) -> None:
    """Measures everything, prints what it found, and writes the file.

    Args:
        renders: of `load_shards`. clips: landmarks (T, 478, 3) of real video.
    """
    template = FaceMesh().template
    aligned = align_renders(renders, template)
    units, other = torch.from_numpy(renders["action_units"]), torch.from_numpy(renders["other"])
    moving = np.flatnonzero(aligned.usable & ~renders["at_rest"])
    motion, units, other = aligned.motion(moving), units[moving], other[moving]
    swap = mirrored_shapes(kit.expression_names)
    mean_at_rest = aligned.points[torch.from_numpy(aligned.usable & renders["at_rest"])].mean(0)
    left = torch.sigmoid(mean_at_rest[:, 0] / 0.003)
    tensors = measure_expressions(
        torch.cat([motion, mirrored(motion)]),
        torch.cat([units, units.flip(-1)]),
        torch.cat([other, other[:, swap]]),
        left,
    )
    resting = np.flatnonzero(aligned.usable & renders["at_rest"])
    tensors |= measure_rest(
        aligned.points[torch.from_numpy(resting)],
        torch.from_numpy(renders["true_points"][resting]),
        euler_angles(torch.from_numpy(renders["rotation"][resting])),
        renders["person"][resting],
        template,
    )
    tensors["jitter"] = measure_jitter(clips, template)
    tensors["au_weights"] = kit.au_to_expression(facs.ALL)
    tensors["true_expression"] = kit.landmarks_468(kit.expression_basis, kit.faces)
    true_response = torch.tensordot(tensors["au_weights"], tensors["true_expression"], dims=1)
    kept = tensors["tracked_linear"] + tensors["tracked_quadratic"]
    for k, number in enumerate(facs.ALL):
        tracked, true = kept[k].sum(0)[:468].flatten(), true_response[k].sum(0).flatten()
        cosine = tracked @ true / (tracked.norm() * true.norm())
        print(f"{facs.label(number)}: tracked / true size {tracked.norm() / true.norm():.2f}, cosine {cosine:.2f}")
    # Displacements are small enough for half precision; positions are not.
    stored = {n: (t if n.endswith("_mean") else t.half()).contiguous() for n, t in tensors.items()}
    stored["action_units"], stored["pairs"] = torch.tensor(facs.ALL), torch.tensor(PAIRS)
    with atomic_path(output) as temporary:
        save_file(stored, temporary, {"expression_names": json.dumps(kit.expression_names)})


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m au_d3dface.training.learn_tracker_response", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--renders", type=Path, required=True, help="folder of data.synthetic.tracked_renders")
    parser.add_argument("--ict-facekit", type=Path, required=True, help="npz of ICT-FaceKit")
    parser.add_argument(
        "--jitter-landmarks", type=Path, nargs="+", required=True, help="npy of (T, 478, 3) of real video"
    )
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args(arguments)
    try:
        renders = load_shards(options.renders)
        clips = [read_landmarks(path) for path in options.jitter_landmarks]
        learn(renders, ICTFaceKit(options.ict_facekit), clips, options.output)
    except AUD3DFaceError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())
