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
        (["--sequences", "0"], "sequences"),
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
