"""The training loss, Eq. 11-15, every term a function of its own; ReconstructionLoss adds them up.

All terms are means over what is known: frames outside `frame_mask` and labels of -1 count for nothing, neither in the
sum nor in the number that it is divided by. They are computed in float32 at least, under autocast too: half a precision
would round pixels of a picture to whole ones.
"""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from .geometry import weak_perspective

if TYPE_CHECKING:
    from .configuration_au_d3dface import AUD3DFaceConfig
    from .outputs_au_d3dface import AUD3DFaceReconstructionOutput


def _full_precision(term: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The term outside autocast, its tensors of lower precision made float32."""

    def raised(value):
        lower = isinstance(value, Tensor) and value.is_floating_point() and value.dtype.itemsize < 4
        return value.float() if lower else value

    @wraps(term)
    def wrapped(*values, **named) -> Tensor:
        device = next(value.device for value in (*values, *named.values()) if isinstance(value, Tensor))
        with torch.autocast(device.type, enabled=False):
            return term(*map(raised, values), **{name: raised(value) for name, value in named.items()})

    return wrapped


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of `values` where `mask` (bool, broadcast to their shape) is true; zero where it never is."""
    mask = mask.expand_as(values)
    return values.masked_fill(~mask, 0).sum() / mask.sum().clamp_min(1)


@_full_precision
def smoothness_loss(temporal_embeddings: Tensor, frame_mask: Tensor | None = None, reduction: str = "mean") -> Tensor:
    """L_smooth, Eq. 14: Σ_j |z_j^t − z_{j+1}^t|_1 over neighbouring valid frames.

    Args:
        temporal_embeddings: (B, T, d), z^t, no unit.
        frame_mask: (B, T) bool.
        reduction: "mean" over pairs of frames and features; "sum" over both, as printed, then mean over clips.

    Returns:
        A scalar; zero for a clip of one frame.
    """
    change = (temporal_embeddings[:, 1:] - temporal_embeddings[:, :-1]).abs()
    pairs = torch.ones_like(change[..., 0], dtype=torch.bool)
    if frame_mask is not None:
        pairs = frame_mask[:, 1:].bool() & frame_mask[:, :-1].bool()
    if reduction == "mean":
        return masked_mean(change, pairs[..., None])
    if reduction == "sum":
        return change.masked_fill(~pairs[..., None], 0).sum() / len(change)
    raise ValueError(f"reduction must be 'mean' or 'sum', not {reduction!r}")


def balanced_class_weights(au_positive_rates: Sequence[float]) -> Tensor:
    """w_k = (1 / r_k) / Σ_m (1 / r_m) · N, the field's usual weights: mean 1, larger for rarer action units.

    Args:
        au_positive_rates: N numbers, r_k, the share of training frames in which AU k occurs.

    Raises:
        ValueError: a rate of zero, whose weight would be infinite.
    """
    rates = torch.tensor(au_positive_rates, dtype=torch.float32)
    if (rates <= 0).any():
        raise ValueError(
            "an action unit that never occurs in training has no balanced weight: leave it out of action_units, or "
            "set au_class_weights"
        )
    return len(rates) / rates / (1 / rates).sum()


@_full_precision
def au_loss(
    au_logits: Tensor, au_labels: Tensor, frame_mask: Tensor | None = None, class_weights: Tensor | None = None
) -> Tensor:
    """L_au, Eq. 15: binary cross-entropy of AU occurrence, mean over known labels, in nats.

    Args:
        au_logits: (B, T, N).
        au_labels: (B, T, N), 0 or 1 or between, -1 where unknown.
        frame_mask: (B, T) bool.
        class_weights: (N,), w_k; None is the equation as printed.
    """
    known = _known(au_labels, frame_mask)
    terms = binary_cross_entropy_with_logits(au_logits, au_labels.to(au_logits).clamp_min(0), reduction="none")
    if class_weights is not None:
        terms = terms * class_weights.to(terms)
    return masked_mean(terms, known)


@_full_precision
def intensity_loss(au_intensities: Tensor, au_intensity_labels: Tensor, frame_mask: Tensor | None = None) -> Tensor:
    """Mean squared error of AU intensities (0-5, so squared FACS levels) over known ones. Beyond the paper.

    Args:
        au_intensities: (B, T, N) predictions; au_intensity_labels: (B, T, N), -1 where unknown.
        frame_mask: (B, T) bool.
    """
    known = _known(au_intensity_labels, frame_mask)
    return masked_mean((au_intensities - au_intensity_labels.to(au_intensities)) ** 2, known)


@_full_precision
def vertex_loss(
    vertices: Tensor,
    true_vertices: Tensor,
    frame_mask: Tensor | None = None,
    neutral_vertices: Tensor | None = None,
    true_neutral_vertices: Tensor | None = None,
    unit: float = 1.0,
) -> Tensor:
    """L_vert: mean squared distance of corresponding vertices, where true 3D is known. Beyond the paper.

    With both neutral faces given, displacements from them are compared instead of positions: the error of the motion,
    whatever the error of the identity.

    Args:
        vertices, true_vertices: (B, T, V, 3) metres, in one head frame.
        frame_mask: (B, T) bool.
        neutral_vertices, true_neutral_vertices: (B, V, 3) metres, or None.
        unit: metres that count as one, `config.displacement_scale` in training; 1.0 gives square metres.

    Raises:
        ValueError: only one of the neutral faces is given.
    """
    if (neutral_vertices is None) != (true_neutral_vertices is None):
        raise ValueError("the displacement form of the vertex loss needs both neutral faces")
    error = vertices - true_vertices
    if neutral_vertices is not None:
        error = error - (neutral_vertices - true_neutral_vertices)[:, None]
    squared = ((error / unit) ** 2).sum(-1)
    mask = torch.ones_like(squared[..., 0], dtype=torch.bool) if frame_mask is None else frame_mask.bool()
    return masked_mean(squared, mask[..., None])


@_full_precision
def landmark_loss(
    points: Tensor,
    rotation: Tensor,
    scale: Tensor,
    translation: Tensor,
    landmarks: Tensor,
    image_size: tuple[int, int],
    landmark_mask: Tensor | None = None,
) -> Tensor:
    """L_lmk, Eq. 12-13: distance of projected landmarks to 2D landmarks, in image coordinates of [-1, 1].

    Args:
        points: (B, T, P, 3) metres, landmarks on the refined mesh, head frame.
        rotation (B, T, 3, 3), scale (B, T) pixels per metre, translation (B, T, 2) pixels: the camera of Eq. 12.
        landmarks: (B, T, P, 2) pixels.
        image_size: height and width of the image, pixels.
        landmark_mask: (B, T, P) or (B, T, 1) bool, which landmarks are known.

    Returns:
        The mean over known landmarks and frames of the L2 distance.
    """
    height, width = image_size
    projected = weak_perspective(points, rotation, scale, translation)[..., :2]
    error = (projected - landmarks) * projected.new_tensor([2 / width, 2 / height])
    known = torch.ones_like(error[..., 0], dtype=torch.bool) if landmark_mask is None else landmark_mask.bool()
    # The root has no gradient at zero: unknown and exact landmarks are kept away from it.
    return masked_mean((error**2).sum(-1).clamp_min(1e-12).sqrt(), known)


@_full_precision
def image_loss(rendered: Tensor, images: Tensor, skin_mask: Tensor, frame_mask: Tensor | None = None) -> Tensor:
    """L_img, Eq. 13: mean over frames of |A_j ⊙ (I_j − I^r_j)|_1 / area of A_j, mean over channels.

    Args:
        rendered: (B, T, H, W, 3), I^r: the refined mesh with the coarse model's pose, camera, texture and light
            (`MeshRenderer`); black where no mesh is seen, which inside the mask counts and has no gradient.
        images: (B, T, H, W, 3), I, in [0, 1].
        skin_mask: (B, T, H, W) bool, A. A frame whose mask is empty counts for nothing.
        frame_mask: (B, T) bool.

    Returns:
        A scalar in picture values; zero where no frame counts.
    """
    mask = skin_mask.bool()
    if frame_mask is not None:
        mask = mask & frame_mask.bool()[..., None, None]
    area = mask.sum((-2, -1))
    error = (rendered - images.to(rendered)).abs().mean(-1).masked_fill(~mask, 0).sum((-2, -1)) / area.clamp_min(1)
    return masked_mean(error, area > 0)


def _known(labels: Tensor, frame_mask: Tensor | None) -> Tensor:
    known = labels >= 0
    return known if frame_mask is None else known & frame_mask.bool()[..., None]


class ReconstructionLoss:
    """L of Eq. 11, λ_img L_img + λ_lmk L_lmk + λ_smooth L_smooth + λ_au L_au, with the terms beyond it.

    A term is computed where its weight is not zero and its targets are given.

    Args:
        config: gives `smooth_reduction`, `au_class_weights`, `au_positive_rates`, `displacement_scale`; without the
            temporal module L_smooth is zero.
        image, landmarks, smooth, au: λ of Eq. 11.
        intensity, vertices: weights of the terms that the paper does not have.
    """

    def __init__(
        self,
        config: "AUD3DFaceConfig",
        image: float = 2.0,
        landmarks: float = 2.0,
        smooth: float = 1.0,
        au: float = 5.0,
        intensity: float = 1.0,
        vertices: float = 0.0,
    ):
        self.config = config
        self.weights = {
            "image": image,
            "landmarks": landmarks,
            "smooth": smooth if config.use_temporal else 0.0,
            "au": au,
            "intensity": intensity if config.predict_intensity else 0.0,
            "vertices": vertices,
        }
        weights = config.au_class_weights
        if weights == "balanced":
            self.class_weights = balanced_class_weights(config.au_positive_rates)
        else:
            self.class_weights = None if weights is None else torch.tensor(weights, dtype=torch.float32)

    def __call__(
        self,
        output: "AUD3DFaceReconstructionOutput",
        au_labels: Tensor | None = None,
        au_intensity_labels: Tensor | None = None,
        frame_mask: Tensor | None = None,
        true_vertices: Tensor | None = None,
        neutral_vertices: Tensor | None = None,
        true_neutral_vertices: Tensor | None = None,
        image: dict | None = None,
        landmarks: dict | None = None,
    ) -> dict[str, Tensor]:
        """
        Args:
            output: of the network's `forward`.
            au_labels, au_intensity_labels: (B, T, N), -1 where unknown.
            frame_mask: (B, T) bool.
            true_vertices, neutral_vertices, true_neutral_vertices: targets of `vertex_loss`, metres.
            image, landmarks: the arguments of `image_loss` and of `landmark_loss` by name.

        Returns:
            Each computed term, unweighted, under its name ("smooth", "au", ...), and the weighted sum under "loss".
        """
        terms: dict[str, Tensor] = {}
        wanted = {name for name, weight in self.weights.items() if weight}
        if "image" in wanted and image is not None:
            terms["image"] = image_loss(**image)
        if "landmarks" in wanted and landmarks is not None:
            terms["landmarks"] = landmark_loss(**landmarks)
        if "smooth" in wanted:
            terms["smooth"] = smoothness_loss(output.temporal_embeddings, frame_mask, self.config.smooth_reduction)
        if "au" in wanted and au_labels is not None:
            terms["au"] = au_loss(output.au_logits, au_labels, frame_mask, self.class_weights)
        if "intensity" in wanted and au_intensity_labels is not None:
            terms["intensity"] = intensity_loss(output.au_intensities, au_intensity_labels, frame_mask)
        if "vertices" in wanted and true_vertices is not None:
            unit = self.config.displacement_scale
            neutrals = (neutral_vertices, true_neutral_vertices) if true_neutral_vertices is not None else (None, None)
            terms["vertices"] = vertex_loss(output.vertices, true_vertices, frame_mask, *neutrals, unit=unit)
        total = output.au_logits.new_zeros(())
        for name, term in terms.items():
            total = total + self.weights[name] * term
        return {"loss": total, **terms}
