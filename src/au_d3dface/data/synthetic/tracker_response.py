"""What MediaPipe answers to known faces, in numbers: the statistics that let sequences be made without rendering.

Measured on tracked renders by `training.learn_tracker_response`. All displacements are metres in the head frame, of
faces aligned without scale to the facemesh template. AUs are those of `facs.ALL`; sides are the subject's left, right;
activation 1 is intensity 5. Tracked points are MediaPipe's 478 (468 and the irises), true ones the 468 on the surface.
"""

import json
from dataclasses import dataclass, fields
from importlib.resources import as_file, files
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ...errors import CheckpointError

ASSET = "tracker_response.safetensors"


@dataclass(frozen=True)
class TrackerResponse:
    """Everything measured, float32. A face's tracked points in the head frame, before pose and camera, are modelled as

        tracked_mean + Σ_i w_i tracked_identity_i                                        the person at rest
        + Σ_ks (a_ks tracked_linear_ks + a_ks² tracked_quadratic_ks)                     its action units
        + Σ_ks a_ks Σ_f z_ksf tracked_variation_ksf                                      this person's own way of them
        + Σ_p m_p tracked_pair_p                                                         pairs that do not add up
        + Σ_e o_e tracked_other_e                                                        shapes that are no AU
        + Σ_q φ_q(yaw, pitch, roll) pose_error_q + Σ_f u_f pose_variation_f              what the pose does
        + Σ_f v_f expression_noise_f + Σ_f n_f jitter_f                                  the rest

    with w, z, u, v, n ~ N(0, 1), and its true points, with the same w and a, as

        true_mean + Σ_i w_i true_identity_i + Σ_e (Σ_ks a_ks au_weights_kse + o_e) true_expression_e

    z is drawn once a person; u once a person and pose (it may change slowly as the head turns); v
    changes with the expression; n is new in every frame.

    Attributes:
        action_units: (19,) int64, `facs.ALL`.
        tracked_mean: (478, 3) the mean tracked face at rest. true_mean: (468, 3) the mean true one.
        tracked_identity: (I, 478, 3), true_identity: (I, 468, 3) joint principal components of people at rest, one
            standard deviation each, of true faces scaled to the size of the tracked ones.
        size_deviation: () standard deviation of the logarithm of the true face's size over people.
        au_weights: (19, 2, 57) ICT-FaceKit's expression weights of each AU and side at activation 1.
        true_expression: (57, 468, 3) true displacement at weight 1 of each of its shapes; linear, the same for all.
        tracked_other: (57, 478, 3) the tracker's mean answer to the shapes that are no AU; zero for all others.
        tracked_linear, tracked_quadratic: (19, 2, 478, 3) the tracker's mean answer.
        tracked_variation: (19, 2, F, 478, 3) factors of how people differ in it, at activation 1.
        pairs: (P, 2) int64, numbers of two AUs. tracked_pair: (P, 478, 3) what the tracker adds to the sum of both
            at m = 1, where m is the product of the two AUs' activations, each the mean of its sides.
        pose_error: (7, 478, 3) for φ = (yaw, pitch, roll, yaw², pitch², roll², yaw · pitch), radians, in the
            convention of `scenes.euler_rotation`.
        pose_variation: (F, 478, 3) factors of the remaining effect of a pose.
        expression_noise: (F, 478, 3) factors of what is left of expressions.
        jitter: (F, 478, 3) factors of the tracker's noise from frame to frame in real video, for a face about 160
            pixels wide; it grows as pixels shrink.
        expression_names: of ICT-FaceKit's 57 expression shapes.
    """

    action_units: Tensor
    tracked_mean: Tensor
    true_mean: Tensor
    tracked_identity: Tensor
    true_identity: Tensor
    size_deviation: Tensor
    au_weights: Tensor
    true_expression: Tensor
    tracked_other: Tensor
    tracked_linear: Tensor
    tracked_quadratic: Tensor
    tracked_variation: Tensor
    pairs: Tensor
    tracked_pair: Tensor
    pose_error: Tensor
    pose_variation: Tensor
    expression_noise: Tensor
    jitter: Tensor
    expression_names: tuple[str, ...]


def pose_features(yaw: Tensor, pitch: Tensor, roll: Tensor) -> Tensor:
    """φ of `TrackerResponse.pose_error`: (...) radians each to (..., 7)."""
    return torch.stack([yaw, pitch, roll, yaw**2, pitch**2, roll**2, yaw * pitch], -1)


def load_tracker_response(path: str | Path | None = None) -> TrackerResponse:
    """Reads the measured statistics; see `TrackerResponse` for every tensor.

    Args:
        path: a file of `training.learn_tracker_response`; None for the bundled one.

    Raises:
        CheckpointError: the file is missing, damaged or something else.
    """
    source = files(__package__).joinpath(ASSET) if path is None else Path(path)
    if not source.is_file():
        raise CheckpointError(f"{source} does not exist: make it with training.learn_tracker_response.")
    try:
        with as_file(source) as path, safe_open(path, "pt") as archive:
            tensors = {name: archive.get_tensor(name) for name in archive.keys()}  # noqa: SIM118
            names = tuple(json.loads((archive.metadata() or {}).get("expression_names", "[]")))
    except (OSError, SafetensorError, ValueError) as error:
        raise CheckpointError(f"{source} is not a readable safetensors file ({error}); replace it.") from error
    wanted = [field.name for field in fields(TrackerResponse) if field.name != "expression_names"]
    missing = [name for name in wanted if name not in tensors] + ["expression_names"][: not names]
    if missing:
        raise CheckpointError(f"{source} does not describe a tracker: it lacks {missing[0]!r}.")
    # Mostly stored as float16, to be small.
    return TrackerResponse(
        **{n: tensors[n].float() if tensors[n].is_floating_point() else tensors[n] for n in wanted},
        expression_names=names,
    )
