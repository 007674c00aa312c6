"""The baselines of Tables 2 and 3, "DECA + MLP" and "EMOCA + MLP": one frame's coefficients to its action units.

The paper does not say how large its MLP is. Here it has two hidden layers, reads the coefficients that move the face
(expression, and the jaw where the face model has one) standardised over the training frames, and has the heads of
Eq. 10. On the coefficients of landmark fitting it is a baseline that needs no licence.

Symbols: B clips, T frames, E coefficients, N action units.
"""

from dataclasses import dataclass

import torch
from huggingface_hub.dataclasses import strict
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers import initialization as init
from transformers.utils import ModelOutput

from . import facs


@strict
class AUD3DFaceMLPConfig(PreTrainedConfig):
    r"""
    The configuration of [`AUD3DFaceMLP`].

    action_units (`tuple[int]`):
        FACS numbers of the N action units, in the order of every tensor with a dimension N.
    coarse, face_model (`str`):
        Which reconstructor gives the coefficients ("landmarks", "deca", "emoca"), over which face model.
    num_coefficients (`int`):
        E.
    frame_rate (`float`):
        Frames a second of the clips that it is trained and scored on; it sees one frame at a time.
    hidden_sizes (`tuple[int]`), hidden_dropout (`float`):
        Of the hidden layers.
    au_positive_rates, au_class_weights, predict_intensity:
        As in [`AUD3DFaceConfig`].
    au_thresholds (`tuple[float]`, *optional*, defaults to 0.5 each):
        The probabilities from which an action unit counts as present.
    """

    model_type = "au_d3dface_mlp"

    action_units: tuple[int, ...] | list[int] = facs.ALL
    coarse: str = "landmarks"
    face_model: str = "facemesh"
    num_coefficients: int = 50
    frame_rate: float | int = 10.0
    hidden_sizes: tuple[int, ...] | list[int] = (256, 256)
    hidden_dropout: float | int = 0.1
    predict_intensity: bool = True
    au_positive_rates: tuple[float | int, ...] | list[float | int] | None = None
    au_class_weights: str | tuple[float | int, ...] | list[float | int] | None = "balanced"
    au_thresholds: tuple[float | int, ...] | list[float | int] | None = None

    def __post_init__(self, **kwargs):
        for name in ("action_units", "hidden_sizes", "au_positive_rates", "au_class_weights", "au_thresholds"):
            if isinstance(getattr(self, name), list):
                setattr(self, name, tuple(getattr(self, name)))
        if self.au_positive_rates is None:
            self.au_positive_rates = (0.5,) * len(self.action_units)
        if self.id2label is None:
            self.id2label = dict(enumerate(map(facs.label, self.action_units)))
            self.label2id = {label: index for index, label in self.id2label.items()}
        super().__post_init__(**kwargs)
        self.validate_architecture()

    def validate_architecture(self):
        """Raises ValueError where fields do not fit together."""
        units = self.action_units
        if not units or len(set(units)) != len(units) or min(units) < 1:
            raise ValueError(f"action_units must be different FACS numbers, at least one, not {list(units)}")
        if min((self.num_coefficients, *self.hidden_sizes)) < 1:
            raise ValueError("num_coefficients and hidden_sizes must be at least 1")
        if not 0 <= self.hidden_dropout < 1 or not self.frame_rate > 0:
            raise ValueError("hidden_dropout must be at least 0 and less than 1, and frame_rate greater than 0")
        if len(self.au_positive_rates) != len(units):
            raise ValueError(f"au_positive_rates must be {len(units)} numbers, one for each action unit")

    @property
    def num_action_units(self) -> int:
        """N."""
        return len(self.action_units)

    use_temporal = use_video = False  # as AUD3DFaceConfig's: there is no z^t to be smooth, and no picture to be read


@dataclass
class AUD3DFaceMLPOutput(ModelOutput):
    """
    Attributes:
        au_logits, au_probabilities: (B, T, N).
        au_intensities: (B, T, N) in 0-5; None where the config predicts none.
        au_labels: (B, T, N) decisions, 0 or 1, in what `generate` gives; -1 at masked frames.
    """

    au_logits: Tensor | None = None
    au_probabilities: Tensor | None = None
    au_intensities: Tensor | None = None
    au_labels: Tensor | None = None


class AUD3DFaceMLP(PreTrainedModel):
    """Action units of every frame from its own coefficients."""

    config_class = AUD3DFaceMLPConfig
    base_model_prefix = "mlp"
    main_input_name = "coefficients"

    def __init__(self, config: AUD3DFaceMLPConfig):
        super().__init__(config)
        self.register_buffer("mean", torch.zeros(config.num_coefficients))
        self.register_buffer("deviation", torch.ones(config.num_coefficients))
        layers: list[nn.Module] = []
        size = config.num_coefficients
        for hidden in config.hidden_sizes:
            layers += [nn.Linear(size, hidden), nn.GELU(), nn.Dropout(config.hidden_dropout)]
            size = hidden
        self.layers = nn.Sequential(*layers)
        self.au_head = nn.Linear(size, config.num_action_units)
        if config.predict_intensity:
            self.intensity_head = nn.Linear(size, config.num_action_units)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module):
        if isinstance(module, nn.Linear):
            init.normal_(module.weight, std=module.in_features**-0.5)
            init.zeros_(module.bias)
        elif isinstance(module, AUD3DFaceMLP):
            rates = torch.tensor(self.config.au_positive_rates)
            init.zeros_(module.mean)
            init.ones_(module.deviation)
            init.copy_(module.au_head.bias, rates.clamp(0.001, 0.999).logit())
            if self.config.predict_intensity:
                init.copy_(module.intensity_head.bias, (rates / 2).clamp(0.001, 0.999).logit())

    def get_input_embeddings(self) -> None:
        """None: it reads numbers, and no words. Those who shard models ask."""

    @torch.no_grad()
    def standardise(self, coefficients: Tensor) -> None:
        """Sets the mean and deviation of its input.

        Args:
            coefficients: (frames, E), of training frames.
        """
        self.mean.copy_(coefficients.mean(0))
        self.deviation.copy_(coefficients.std(0).clamp_min(1e-6))

    def forward(self, coefficients: Tensor, frame_mask: Tensor | None = None) -> AUD3DFaceMLPOutput:
        """
        Args:
            coefficients: (B, T, E). frame_mask: (B, T) bool, whose false frames' outputs mean nothing.

        Raises:
            ValueError: another number of coefficients.
        """
        if coefficients.shape[-1] != self.config.num_coefficients:
            raise ValueError(f"coefficients must be (B, T, {self.config.num_coefficients}), not {coefficients.shape}")
        if frame_mask is not None:
            coefficients = torch.where(frame_mask[..., None], coefficients, self.mean)
        hidden = self.layers((coefficients - self.mean) / self.deviation)
        logits = self.au_head(hidden)
        intensities = 5 * self.intensity_head(hidden).sigmoid() if self.config.predict_intensity else None
        return AUD3DFaceMLPOutput(au_logits=logits, au_probabilities=logits.sigmoid(), au_intensities=intensities)

    def decide(self, coefficients: Tensor, frame_mask: Tensor) -> AUD3DFaceMLPOutput:
        """`forward` with decisions at `config.au_thresholds`."""
        output = self(coefficients, frame_mask)
        units = self.config.num_action_units
        thresholds = torch.tensor(self.config.au_thresholds or (0.5,) * units).to(output.au_probabilities)
        decisions = (output.au_probabilities >= thresholds).float()
        output.au_labels = torch.where(frame_mask[..., None], decisions, -1.0)
        return output


AutoConfig.register(AUD3DFaceMLPConfig.model_type, AUD3DFaceMLPConfig, exist_ok=True)
AutoModel.register(AUD3DFaceMLPConfig, AUD3DFaceMLP, exist_ok=True)

__all__ = ["AUD3DFaceMLP", "AUD3DFaceMLPConfig"]
