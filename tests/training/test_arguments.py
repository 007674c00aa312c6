"""Arguments: yaml and command line, and one sentence for what makes no sense."""

import pytest

from au_d3dface.errors import InputError, UsageError
from au_d3dface.training.arguments import parse, read_arguments, read_yaml


def test_the_defaults_are_the_papers():
    training = read_arguments([]).training
    assert (training.learning_rate, training.epochs, training.batch_size) == (5e-5, 20, 8)
    assert (training.weight_smooth, training.weight_au) == (1.0, 5.0)


def test_the_shipped_config_is_valid():
    arguments = read_arguments(["--config", "default"])
    config = arguments.validate()
    assert config.use_temporal
    assert config.use_spatial
    assert not config.use_video
    assert len(config.action_units) == 19


def test_the_static_config_is_the_same_recipe_without_the_temporal_module():
    default, static = read_yaml("default"), read_yaml("static")
    assert static["data"] == default["data"]
    assert static["training"] == default["training"]
    model = {name: value for name, value in default["model"].items() if name != "cross_attention"}
    assert static["model"] == model | {"use_temporal": False}
    config = read_arguments(["--config", "static"]).validate()
    assert not config.use_temporal
    assert config.use_spatial


def test_a_folder_of_a_config_s_name_is_not_in_its_way(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "static").mkdir()
    assert read_yaml("static")["model"]["use_temporal"] is False


def test_rendered_sequences_alone_are_enough():
    argv = ["--config", "default", "--rendered", "people", "--rendered-held-out", "others", "--sequences", "0"]
    arguments = read_arguments([*argv, "--held-out", "0"])
    arguments.validate()
    assert (arguments.data.sequences, arguments.data.held_out) == (0, 0)
    assert arguments.options == (*argv, "--held-out", "0")


def test_the_command_line_wins(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("model: {hidden_size: 64}\ntraining: {learning_rate: 1e-4, epochs: 3, max_steps: 9}\n")
    argv = ["--config", str(path), "--epochs", "7", "--model", "hidden_size=32", "--learning-rate", "2e-3"]
    arguments = read_arguments(argv)
    assert arguments.training.epochs == 7
    assert arguments.training.learning_rate == 2e-3
    assert arguments.training.max_steps == 9
    assert arguments.model == {"hidden_size": 32}
    assert read_arguments(["--config", str(path)]).training.learning_rate == 1e-4


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"trainng": {}}, "did you mean 'training'"),
        ({"training": {"learning_rte": 1}}, "did you mean 'learning_rate'"),
        ({"data": {"sequences": "many"}}, "data.sequences must be int"),
        ({"training": {"epochs": 2.5}}, "training.epochs must be int"),
        ({"training": {"epochs": True}}, "training.epochs must be int"),
        ({"training": [1]}, "must hold keys and values"),
        (["training"], "must have sections"),
    ],
)
def test_wrong_keys_and_types(content, sentence):
    with pytest.raises(UsageError, match=sentence):
        parse(content)


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["--model", "hiden_size=3"], "hidden_size"),
        (["--model", "hidden_size"], "FIELD=VALUE"),
        (["--model", "use_video=true"], "use_video"),
        (["--learning-rate", "0"], "learning_rate"),
        (["--label-flip", "1.5"], "label_flip"),
        (["--schedule", "stepwise"], "constant or cosine"),
        (["--batch-size", "0"], "batch_size"),
        (["--sequences", "0"], r"data\.sequences must be at least 1 where data\.rendered names no"),
        (["--sequences", "-1", "--rendered", "people"], "data.sequences must be at least 0"),
        (["--held-out", "0", "--rendered", "people"], "data.held_out must be at least 1"),
        (["--rendered-repeats", "0"], "data.rendered_repeats must be at least 1"),
        (["--clip-length", "0"], "data.clip_length"),
        (["--workers", "0"], "data.workers"),
        (["--seconds", "0"], "data.seconds"),
        (["--neutral-error", "1.1"], "data.neutral_error"),
        (["--mixing", "-0.1"], "data.mixing"),
        (["--noise", "nan"], "data.noise"),
        (["--rendered-bending", "-1"], "data.rendered_bending"),
        (["--seed-of-data", "-1"], "data.seed"),
        (["--seed", "-1"], "training.seed"),
        (["--calibrate", "-1"], "training.calibrate"),
        (["--linear-reading", "-0.3"], "training.linear_reading"),
        (["--whitening", "-0.1"], "training.whitening"),
        (["--best-metric", "f1_meen"], "did you mean 'f1_mean'"),
        (["--patience", "-1"], "training.patience"),
        (["--patience", "2", "--evaluate-every", "0"], "training.patience counts evaluations"),
        (["--trackers", "tensorbord"], "did you mean 'tensorboard'"),
        (["--loader-workers", "-1"], "training.loader_workers"),
        (["--max-steps", "0"], "training.max_steps"),
        (["--max-grad-norm", "0"], "training.max_grad_norm"),
        (["--weight-au", "-1"], "training.weight_au"),
    ],
)
def test_settings_that_make_no_sense(argv, sentence):
    with pytest.raises(UsageError, match=sentence):
        read_arguments(argv).validate()


def test_unreadable_configs(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_yaml(str(tmp_path / "missing.yaml"))
    broken = tmp_path / "broken.yaml"
    broken.write_text("model: [1\n")
    with pytest.raises(InputError, match="not valid yaml"):
        read_yaml(str(broken))
    broken.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="cannot be read"):
        read_yaml(str(broken))


def test_trackers_are_a_list(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("training: {trackers: [tensorboard, trackio]}\n")
    assert read_arguments(["--config", str(path)]).training.trackers == ("tensorboard", "trackio")
    assert read_arguments(["--trackers", "tensorboard, wandb"]).training.trackers == ("tensorboard", "wandb")
    assert read_arguments([]).training.trackers == ()
    with pytest.raises(UsageError, match=r"training\.trackers must be a list, not 3"):
        parse({"training": {"trackers": 3}})
