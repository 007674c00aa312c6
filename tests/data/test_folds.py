"""Who is trained on and who is tested: the published parts, and parts of your own with what may be wrong with them."""

import itertools
import json

import pytest

from au_d3dface.data.folds import LABELLED_FRAMES, PARTS, fold_of, read_parts
from au_d3dface.errors import InputError, UsageError


@pytest.mark.parametrize(
    ("benchmark", "sizes", "frames"), [("bp4d", (14, 14, 13), 146_847), ("disfa", (9, 9, 9), 130_814)]
)
def test_the_published_parts(benchmark, sizes, frames):
    parts = PARTS[benchmark]
    assert list(parts) == ["P1", "P2", "P3"]
    assert tuple(map(len, parts.values())) == sizes
    for one, other in itertools.combinations(parts.values(), 2):
        assert not set(one) & set(other)
    assert sum(LABELLED_FRAMES[benchmark].values()) == frames
    everyone = {subject for part in parts.values() for subject in part}
    if benchmark == "bp4d":
        assert everyone == {f"F{n:03d}" for n in range(1, 24)} | {f"M{n:03d}" for n in range(1, 19)}
    else:
        without = {14, 15, 19, 20, 22}  # numbers that DISFA does not have
        assert everyone == {f"SN{n:03d}" for n in range(1, 33) if n not in without}
        # 4,845 frames each, one less for SN010
        for part, people in parts.items():
            assert LABELLED_FRAMES[benchmark][part] == 4845 * len(people) - ("SN010" in people)
    for tested in parts:
        fold = fold_of(benchmark, tested)
        assert fold.test == parts[tested]
        assert not set(fold.test) & set(fold.train)
        assert {*fold.test, *fold.train} == everyone
    assert set(fold_of(benchmark, "all").test) == everyone
    assert fold_of(benchmark, "all").train == ()


@pytest.mark.parametrize("fold", [1, 3, "1", " 2 ", None, 1.0])
def test_a_bare_number_is_no_fold(fold):
    with pytest.raises(UsageError, match="name the part that is tested, one of P1, P2, P3"):
        fold_of("bp4d", fold)


def test_there_is_no_such_part():
    with pytest.raises(UsageError, match="disfa has no part 'P4'"):
        fold_of("disfa", "P4")


CONTENT = {"A": ["F001", "f2"], "rest": ["M010", "M1"]}


def test_parts_of_your_own(tmp_path):
    texts = {
        "parts.json": json.dumps(CONTENT),
        "parts.yaml": "A: [F001, f2]\nrest:\n  - M010\n  - M1\n",
        "parts.csv": "subject,part\nF001,A\nM010,rest\nf2,A\nM1,rest\n",
        "bom.csv": "\ufeffpart, subject\r\nA, F001\r\nA, f2\r\nrest, M010\r\nrest, M1\r\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_bytes(text.encode())
        assert read_parts(tmp_path / name, "bp4d") == {"A": ("F001", "F002"), "rest": ("M010", "M001")}
    fold = fold_of("bp4d", "rest", tmp_path / "parts.json")
    assert (fold.test, fold.train) == (("M010", "M001"), ("F001", "F002"))
    with pytest.raises(UsageError, match=r"parts\.json has no part 'P1'; name the part that is tested, one of A, rest"):
        fold_of("bp4d", "P1", tmp_path / "parts.json")
    with pytest.raises(UsageError, match="other people in every project"):
        fold_of("bp4d", 1, tmp_path / "parts.json")


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("a.txt", "A: [F001]", "is no file of parts: give a yaml, json or csv"),
        ("a.json", '{"A": ["F001"', "cannot be read as json"),
        ("a.yaml", "A: [F001\nB: }", "cannot be read as yaml"),
        ("a.yaml", "!!python/object/apply:os.getcwd []", "cannot be read as yaml"),
        ("a.yaml", b"\xff\xfe\x00\x01", "cannot be read as yaml"),
        ("a.json", "[" * 100_000, "cannot be read as json"),
        ("a.json", "[1, 2]", "must hold a list of subjects for every part"),
        ("a.json", '{"A": "F001", "B": ["F002"]}', "must hold a list of subjects for every part"),
        ("a.yaml", "A: [1, 2]\nB: [F001]", "must hold a list of subjects for every part"),
        ("a.json", '{"1": ["F001"], "2": ["F002"]}', "calls a part '1'; give it a name that is no number"),
        ("a.json", '{"all": ["F001"], "B": ["F002"]}', "calls a part 'all'"),
        ("a.json", '{"A": ["F001", "F099"], "B": ["F002"]}', "puts 'F099' into part 'A', but bp4d has nobody"),
        ("a.json", '{"A": ["F001"], "B": ["SN001"]}', "puts 'SN001' into part 'B', but bp4d has nobody"),
        ("a.json", '{"A": ["F001"], "B": ["F1"]}', "puts F001 into part 'B' and into part 'A' too"),
        ("a.json", '{"A": ["F001", "F1"], "B": ["F002"]}', "puts F001 into part 'A' twice"),
        ("a.json", '{"A": ["F001"], "B": []}', "has nobody in part 'B'"),
        ("a.json", '{"A": ["F001"]}', r"has 1 part\(s\); at least two"),
        ("a.json", "{}", r"has 0 part\(s\); at least two"),
        ("a.csv", "subject,part\nF001,A\nF002\n", "line 3 of .*lacks a subject or a part"),
        ("a.csv", "person,group\nF001,A\n", "line 2 of .*lacks a subject or a part"),
    ],
)
def test_what_may_be_wrong_with_them(name, text, sentence, tmp_path):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=sentence) as error:
        read_parts(path, "bp4d")
    assert name in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_parts(tmp_path / "none.yaml", "bp4d")
