"""What a training run is told: dataclasses, read from a yaml file and the command line.

A yaml file has up to three sections: `model`, fields of `AUD3DFaceConfig`; `data`, fields of `DataArguments`; and
`training`, fields of `TrainingArguments`. Every field of the last two is an option of the command line too
(`learning_rate` as `--learning-rate`), and fields of the model are given as `--model hidden_size=128`. The command line
wins over the file, the file over the defaults.
"""

import sys
from collections.abc import Collection, Iterable, Sequence
from dataclasses import MISSING, dataclass, field, fields
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import yaml
from huggingface_hub.errors import StrictDataclassError

from ..command_line import SentenceParser
from ..configuration_au_d3dface import AUD3DFaceConfig
from ..data.benchmark_rows import COUNTED
from ..data.folds import PARTS, fold_of
from ..errors import InputError, UsageError
from ..mlp_baseline import AUD3DFaceMLPConfig

BEST_METRICS = {"f1_mean": 1, "roc_area_mean": 1, "intensity_r_mean": 1, "refined_error_mm": -1}
"""Scores of `evaluation.evaluate` that `training.best_metric` may name; 1 where more is better, -1 where less is."""
TRACKERS = ("tensorboard", "wandb", "trackio")

_WEIGHTS = (
    "weight_image", "weight_landmarks", "weight_smooth", "weight_au", "weight_intensity", "weight_vertices",
)  # fmt: skip


DATASETS = ("synthetic", *PARTS)
_COMMON = ("dataset", "clip_length", "picture_size", "pool")
_DATASETS_OF: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("data_dir", "prepared", "tested", "folds_file", "frames", "missing", "frame_rate"), tuple(PARTS)),
    **dict.fromkeys(("camera", "present_from", "first_picture"), ("disfa",)),
}
"""The data sets that a field of `DataArguments` is about; other fields are about synthetic sequences alone."""


@dataclass
class DataArguments:
    """What is trained on. Settings of another data set than the one named, of other than their default, are refused.

    Attributes:
        dataset: synthetic, bp4d or disfa.

        For all:
        clip_length: frames of a training clip, at a random place in its sequence. Longer than the attention window, so
            that what a long video is mostly made of (no begin token in sight) is trained too.

        For bp4d and disfa, see `data.load_benchmark`:
        data_dir: the folder of your copy. prepared: the folder that `au-d3dface prepare` wrote of it.
        tested: the part that is held out, P1, P2 or P3, or one of `folds_file`; the others are trained on.
        folds_file: parts of your own, yaml, json or csv; none takes the published ones.
        frames: which frames count: labelled, pictures or prepared.
        missing: error, or skip to go on without sequences that are missing.
        frame_rate: true frames a second of the data; none for what the files say, else the rate commonly reported.
        camera, present_from, first_picture: of disfa: left or right; the intensity from which on an action unit is
            present; the number of the first picture of a dump, none finds out.

        For synthetic:
        sequences, held_out: fast synthetic sequences to train on (0 for rendered ones alone), and of other people to
            evaluate on.
        rendered, rendered_held_out: folders of rendered and tracked sequences, to train on beside the fast ones, and to
            evaluate on in their place.
        pictures: takes the pictures of rendered sequences too, which were made with --pictures, for L_img and L_lmk.
        landmarks: 68 or 468, the 2D landmarks of L_lmk. landmark_source: "true", or "tracked" for the tracker's own.
        align_to_landmarks: first corrects rest and cameras by the landmarks (see landmark_alignment.py).
        seconds: length of each.
        neutral_error: probability that a clip's neutral face is made worse than the fitting left it.
        mixing, noise, offset: how far the coarse fit of a clip is bent from what was synthesised (`SyntheticClips`).
        rendered_bending: factor on these four for rendered sequences. rendered_repeats: clips of each in an epoch.
        tracker_response: another file of the tracker's statistics; none takes the bundled one.
        pyfeat_map: py-feat's AU-to-mesh map, a second source of how tracked faces move beside the bundled one.
        workers: processes that fit sequences, once, before training.
        seed: of the sequences; held-out people come from another.
    """

    dataset: str = "synthetic"
    clip_length: int = 60
    picture_size: int = 128
    pool: str | None = None
    data_dir: str | None = None
    prepared: str | None = None
    tested: str | None = None
    folds_file: str | None = None
    frames: str = "labelled"
    missing: str = "error"
    frame_rate: float | None = None
    camera: str = "left"
    present_from: int = 2
    first_picture: int | None = None
    sequences: int = 2000
    held_out: int = 200
    rendered: str | None = None
    rendered_held_out: str | None = None
    pictures: bool = False
    landmarks: int = 68
    landmark_source: str = "true"
    align_to_landmarks: bool = True
    seconds: float = 10.0
    neutral_error: float = 0.3
    mixing: float = 0.0
    noise: float = 0.0
    offset: float = 0.0
    rendered_bending: float = 0.15
    rendered_repeats: int = 1
    tracker_response: str | None = None
    pyfeat_map: str | None = None
    workers: int = 1
    seed: int = 0

    def validate(self) -> None:
        """Raises UsageError where a value makes no sense, InputError where `folds_file` cannot be read."""
        _known("data set (data.dataset)", [self.dataset], DATASETS)
        _at_least(self, "data", 1, "clip_length", "picture_size")
        for item in fields(self):
            own = item.name in _COMMON or self.dataset in _DATASETS_OF.get(item.name, ("synthetic",))
            if not own and getattr(self, item.name) != item.default:
                raise UsageError(
                    f"data.{item.name} is no setting of the data set {self.dataset} (data.dataset); leave it out"
                )
        if self.is_benchmark:
            self._validate_benchmark()
        else:
            self._validate_synthetic()

    @property
    def is_benchmark(self) -> bool:
        return self.dataset in PARTS

    def _validate_benchmark(self) -> None:
        title = f"data.dataset is {self.dataset}"
        if self.data_dir is None:
            raise UsageError(f"{title}, which is read from your own copy: name its folder as data.data_dir")
        if self.prepared is None:
            raise UsageError(
                f"{title}, whose coarse faces are made once by `au-d3dface prepare`: name the folder that it wrote as "
                "data.prepared"
            )
        if self.tested is None:
            raise UsageError(f"{title}: name the part of it that is held out as data.tested, such as P3")
        fold = fold_of(self.dataset, self.tested, self.folds_file)
        if not fold.train:
            raise UsageError("data.tested must be one part: where everyone is tested, nobody is left to train on")
        for name, choices in (("frames", COUNTED), ("missing", ("error", "skip")), ("camera", ("left", "right"))):
            if getattr(self, name) not in choices:
                raise UsageError(f"data.{name} must be {' or '.join(choices)}, not {getattr(self, name)!r}")
        if self.frame_rate is not None and not 0 < self.frame_rate < float("inf"):
            raise UsageError(f"data.frame_rate must be greater than 0, not {self.frame_rate}")
        if not 1 <= self.present_from <= 5:
            raise UsageError(f"data.present_from must be an intensity from 1 to 5, not {self.present_from}")
        if self.first_picture not in (None, 0, 1):
            raise UsageError(f"data.first_picture must be 0 or 1, not {self.first_picture}")

    def _validate_synthetic(self) -> None:
        _at_least(
            self, "data", 0, "sequences", "neutral_error", "mixing", "noise", "offset", "rendered_bending", "seed"
        )
        _at_least(self, "data", 1, "rendered_repeats", "workers")
        if not self.sequences and not self.rendered:
            raise UsageError("data.sequences must be at least 1 where data.rendered names no rendered sequences")
        if self.pictures and (not self.rendered or self.sequences):
            raise UsageError("data.pictures needs data.rendered, and data.sequences: 0, for fast ones have no pictures")
        if self.landmarks not in (68, 468):
            raise UsageError(f"data.landmarks must be 68 or 468, not {self.landmarks}")
        if self.landmark_source not in ("true", "tracked"):
            raise UsageError(f"data.landmark_source must be true or tracked, not {self.landmark_source!r}")
        if not self.rendered_held_out:
            _at_least(self, "data", 1, "held_out")
        if not self.neutral_error <= 1:
            raise UsageError(f"data.neutral_error must be in [0, 1], not {self.neutral_error}")
        if not self.seconds > 0:
            raise UsageError(f"data.seconds must be greater than 0, not {self.seconds}")


@dataclass
class TrainingArguments:
    """How it is trained. Defaults are the paper's where it gives one (Adam, 5e-5, 20 epochs, λ of the losses).

    Attributes:
        output: folder for checkpoints, the log and the trained model.
        epochs: times that every sequence gives a clip.
        max_steps: stops earlier; the learning rate's course ends there.
        batch_size: clips a step and process.
        gradient_accumulation: batches a step of the optimizer, and process. What does not fill a step waits for another
            epoch, whose order is another.
        learning_rate, warmup_steps, schedule: of Adam; "constant" or "cosine" (to a hundredth) after the warm-up.
        weight_decay: decoupled; 0 is plain Adam.
        max_grad_norm: gradients are scaled down to this norm.
        ema_decay: decay of the exponential moving average of the weights that is evaluated and saved; 0 for none.
        weight_image, weight_landmarks, weight_smooth, weight_au: λ of Eq. 11; the first two need `data.pictures`, or a
            benchmark prepared with --appearance.
        weight_vertices, weight_intensity: of the true meshes and intensities.
        label_flip, label_unknown: shares of the labels fed back in training that are flipped, or made unknown.
        scheduled_sampling: share of clips, after its ramp, whose fed-back labels are the network's own decisions.
        scheduled_sampling_ramp: share of the training over which it grows from 0.
        calibrate: training sequences on which, at the end, each AU gets the threshold of best F1; 0: all 0.5.
        linear_reading: ridge strength of the linear reading that sets the AU targets of fast sequences; 0 takes their
            true labels (see linear_reading.py).
        whitening: metres; layers that read meshes are trained in coordinates in which motions above this are of one
            size (see whitening.py); 0 for none.
        motion_span: trains the motion decoder within the motions of the face model (see motion_span.py).
        video_weights: what the video branch starts from: "kinetics" for torchvision's, a file of these, or the folder
            of a model with a video branch; none starts it anew.
        freeze_video: leaves the video branch as it is; every sequence is then read with it once, its features kept.
        evaluate_every: epochs between evaluations on held-out people, decoded frame by frame; 0 for the end only.
        best_metric: score by which the model in `output/best` is chosen; `output/model` is the last.
        patience: evaluations without a gain after which training stops; 0 for never.
        save_every: steps between checkpoints to resume from; 0 for the end of each epoch only.
        trackers: tensorboard, wandb, trackio, or several, beside `log.jsonl`.
        gradient_checkpointing: computes activations anew in the backward pass: less memory, more time.
        loader_workers: processes that load clips; 0 loads them between steps.
        threads: of torch on a CPU; 0 leaves torch's choice.
        seed: of initialisation, order, dropout and corruption.
    """

    output: str = "au-d3dface-training"
    epochs: int = 20
    max_steps: int | None = None
    batch_size: int = 8
    gradient_accumulation: int = 1
    learning_rate: float = 5e-5
    warmup_steps: int = 0
    schedule: str = "constant"
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    ema_decay: float = 0.0
    weight_image: float = 2.0
    weight_landmarks: float = 2.0
    weight_smooth: float = 1.0
    weight_au: float = 5.0
    weight_vertices: float = 1.0
    weight_intensity: float = 1.0
    label_flip: float = 0.0
    label_unknown: float = 0.0
    scheduled_sampling: float = 0.0
    scheduled_sampling_ramp: float = 0.3
    calibrate: int = 0
    linear_reading: float = 0.0
    whitening: float = 0.0
    motion_span: bool = False
    video_weights: str | None = None
    freeze_video: bool = False
    evaluate_every: int = 1
    best_metric: str = "f1_mean"
    patience: int = 0
    save_every: int = 0
    trackers: tuple[str, ...] = ()
    gradient_checkpointing: bool = False
    loader_workers: int = 0
    threads: int = 0
    seed: int = 0

    @property
    def loss_weights(self) -> dict[str, float]:
        """λ of Eq. 11 and the weights of the terms beyond it, by the names that `ReconstructionLoss` gives them."""
        return {name.removeprefix("weight_"): getattr(self, name) for name in _WEIGHTS}

    def validate(self) -> None:
        """Raises UsageError where a value makes no sense."""
        _at_least(self, "training", 1, "epochs", "batch_size", "gradient_accumulation")
        _at_least(
            self, "training", 0, "linear_reading", "whitening", "calibrate", "seed", "warmup_steps", "weight_decay",
            "evaluate_every", "save_every", "patience", "loader_workers", "threads", *_WEIGHTS,
        )  # fmt: skip
        if self.max_steps is not None:
            _at_least(self, "training", 1, "max_steps")
        if not self.max_grad_norm > 0:
            raise UsageError(f"training.max_grad_norm must be greater than 0, not {self.max_grad_norm}")
        if not self.learning_rate > 0:
            raise UsageError(f"training.learning_rate must be greater than 0, not {self.learning_rate}")
        for name in ("label_flip", "label_unknown", "scheduled_sampling", "scheduled_sampling_ramp", "ema_decay"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"training.{name} must be in [0, 1], not {getattr(self, name)}")
        if self.schedule not in ("constant", "cosine"):
            raise UsageError(f"training.schedule must be constant or cosine, not {self.schedule!r}")
        if self.patience and not self.evaluate_every:
            raise UsageError("training.patience counts evaluations, so training.evaluate_every must be at least 1")
        _known("score that training.best_metric can name", [self.best_metric], BEST_METRICS)
        _known("tracker (training.trackers)", self.trackers, TRACKERS)


@dataclass
class Arguments:
    """Everything: `model` holds fields of AUD3DFaceConfig; `options` is the command line that it was read from."""

    model: dict[str, Any] = field(default_factory=dict)
    data: DataArguments = field(default_factory=DataArguments)
    training: TrainingArguments = field(default_factory=TrainingArguments)
    options: Sequence[str] = ()

    def validate(self) -> AUD3DFaceConfig | AUD3DFaceMLPConfig:
        """The config of the model.

        Raises:
            UsageError: one sentence on the field that makes no sense.
        """
        self.training.validate()
        self.data.validate()
        try:
            config = self._config()
        except (ValueError, TypeError, StrictDataclassError) as error:
            raise UsageError(f"model: {' '.join(str(error).split())}") from error
        if self.data.is_benchmark:
            self._validate_on_benchmark(config)
        else:
            self._validate_video(config)
        return config

    def _validate_on_benchmark(self, config: AUD3DFaceConfig | AUD3DFaceMLPConfig) -> None:
        name = self.data.dataset
        for setting, why in (
            ("linear_reading", "teaches what fast synthetic sequences show"),
            *(() if config.use_video else ((key, "needs a video branch") for key in ("video_weights", "freeze_video"))),
        ):
            if getattr(self.training, setting):
                raise UsageError(f"training.{setting} {why}: leave it out with data.dataset {name}")
        self._validate_frozen()

    def _config(self) -> AUD3DFaceConfig | AUD3DFaceMLPConfig:
        kind = self.model.get("model_type", AUD3DFaceConfig.model_type)
        if kind not in _CONFIGS:
            raise ValueError(f"model_type must be {' or '.join(_CONFIGS)}, not {kind!r}")
        if kind == AUD3DFaceConfig.model_type:
            return AUD3DFaceConfig(**self.model)
        names = [item.name for item in fields(AUD3DFaceMLPConfig)]
        _known("field of AUD3DFaceMLPConfig", list(self.model), ["model_type", *names])
        for name in ("whitening", "motion_span"):
            if getattr(self.training, name):
                raise ValueError(f"training.{name} is for networks that read meshes, not for an MLP")
        return AUD3DFaceMLPConfig(**{name: value for name, value in self.model.items() if name != "model_type"})

    def _validate_video(self, config: AUD3DFaceConfig | AUD3DFaceMLPConfig) -> None:
        data, training = self.data, self.training
        if not config.use_video:
            for name in ("video_weights", "freeze_video"):
                if getattr(training, name):
                    raise UsageError(f"training.{name} needs a video branch: set model.use_video")
            return
        if not data.rendered or not data.rendered_held_out or data.sequences:
            raise UsageError(
                "model.use_video needs data.rendered and data.rendered_held_out, made with --pictures, and "
                "data.sequences: 0, for fast synthetic sequences have no pictures"
            )
        self._validate_frozen()

    def _validate_frozen(self) -> None:
        if self.training.freeze_video and not self.training.video_weights:
            raise UsageError("training.freeze_video needs training.video_weights: a frozen branch learns nothing")


_CONFIGS = {kind.model_type: kind for kind in (AUD3DFaceConfig, AUD3DFaceMLPConfig)}


def read_arguments(argv: Sequence[str] | None = None) -> Arguments:
    """The arguments of a command line.

    Raises:
        UsageError: an option or key that does not exist, or a value of another type.
        InputError: the yaml file cannot be read.
    """
    parser = SentenceParser(
        prog="python -m au_d3dface.training",
        description="Trains the network on labelled synthetic sequences, BP4D or DISFA. Start it with accelerate "
        "launch -m, or alone.",
    )
    parser.add_argument(
        "--config",
        action="append",
        default=[],
        help=f"yaml file, or the name of one that ships in the package ({', '.join(shipped_configs())}); given several "
        "times, each goes over those before it",
    )
    parser.add_argument(
        "--model", action="append", default=[], metavar="FIELD=VALUE", help="a field of AUD3DFaceConfig"
    )
    sections = {"data": DataArguments, "training": TrainingArguments}
    for section, kind in sections.items():
        group = parser.add_argument_group(section)
        for item in fields(kind):
            option = (
                "--" + item.name.replace("_", "-") + ("-of-data" if section == "data" and item.name == "seed" else "")
            )
            default = item.default if item.default is not MISSING else None
            group.add_argument(option, dest=f"{section}.{item.name}", metavar="VALUE", help=f"default {default}")
    argv = sys.argv[1:] if argv is None else argv
    options = vars(parser.parse_args(argv))
    arguments = Arguments()
    for name in options["config"]:
        arguments = parse(read_yaml(name), arguments)
    for assignment in options["model"]:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise UsageError(f"--model takes FIELD=VALUE, not {assignment!r}")
        arguments.model[name] = _value(text)
    for section, kind in sections.items():
        for item in fields(kind):
            text = options[f"{section}.{item.name}"]
            if text is not None:
                value = _checked(f"--{item.name.replace('_', '-')}", _value(text), get_type_hints(kind)[item.name])
                setattr(getattr(arguments, section), item.name, value)
    arguments.options = tuple(argv)
    return arguments


def read_yaml(name: str) -> dict:
    """The content of a yaml file, or of a config that ships in the package.

    Raises:
        InputError: no such file, or it is not yaml.
    """
    shipped = resources.files(__package__) / "configs" / f"{name}.yaml"
    source = shipped if shipped.is_file() and not Path(name).is_file() else Path(name)
    try:
        return yaml.safe_load(source.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"the config {name} cannot be read ({error}); give a yaml file, or one of {', '.join(shipped_configs())}"
        ) from error
    except yaml.YAMLError as error:
        raise InputError(f"{name} is not valid yaml: {' '.join(str(error).split())}") from error


def shipped_configs() -> list[str]:
    """The names of the configs in the package."""
    folder = resources.files(__package__) / "configs"
    return sorted(path.name.removesuffix(".yaml") for path in folder.iterdir() if path.name.endswith(".yaml"))


def parse(content: Any, over: Arguments | None = None) -> Arguments:
    """Arguments from the content of a yaml file.

    Args:
        over: arguments that it changes; None for the defaults.

    Raises:
        UsageError: an unknown section or key (with the nearest one), or a value of another type.
    """
    if not isinstance(content, dict):
        raise UsageError("a config must have sections: model, data, training")
    _known("section", content, ("model", "data", "training"))
    arguments = over or Arguments()
    for section, values in content.items():
        if values is None:
            continue
        if not isinstance(values, dict):
            raise UsageError(f"the section {section} must hold keys and values, not {values!r}")
        if section == "model":
            if "model_type" in values:  # what the other kind of model knows nothing of is left out
                names = {item.name for item in fields(_CONFIGS.get(values["model_type"], AUD3DFaceConfig))}
                arguments.model = {name: value for name, value in arguments.model.items() if name in names}
            arguments.model |= values
            continue
        kind = type(getattr(arguments, section))
        _known(f"key of {section}", values, [item.name for item in fields(kind)])
        hints = get_type_hints(kind)
        for name, value in values.items():
            setattr(getattr(arguments, section), name, _checked(f"{section}.{name}", value, hints[name]))
    return arguments


def _at_least(section: Any, name: str, least: int, *keys: str) -> None:
    for key in keys:
        if not getattr(section, key) >= least:  # nor is NaN
            raise UsageError(f"{name}.{key} must be at least {least}, not {getattr(section, key)}")


def _known(what: str, given: Iterable[str], names: Collection[str]) -> None:
    for name in given:
        if name not in names:
            close = get_close_matches(str(name), names, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(names)}"
            raise UsageError(f"{name!r} is not a {what}; {hint}")


def _value(text: str) -> Any:
    value = yaml.safe_load(text) if text else text
    if isinstance(value, str):  # yaml reads 5e-5 as a string
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _checked(name: str, value: Any, hint: Any) -> Any:
    """The value as its type, int to float where floats are wanted."""
    kinds = get_args(hint) if get_origin(hint) in (Union, UnionType, tuple) else (hint,)
    if value is None and type(None) in kinds:
        return None
    if get_origin(hint) is tuple:
        values = value.split(",") if isinstance(value, str) else value
        if not isinstance(values, list | tuple):
            raise UsageError(f"{name} must be a list, not {value!r}")
        return tuple(_checked(name, item.strip() if isinstance(item, str) else item, kinds[0]) for item in values)
    if float in kinds and isinstance(value, str):
        value = _value(value)
    if float in kinds and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) in kinds:
        return value
    wanted = " or ".join("nothing" if kind is type(None) else kind.__name__ for kind in kinds)
    raise UsageError(f"{name} must be {wanted}, not {value!r}")
