from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.profile_files import parse_profile, read_profiles
from tests.unit.profiles import SMALLEST, USUAL, changed

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=20,
)


def write(folder: Path, name: str, content: object) -> None:
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / name).write_text(text, encoding="utf-8")


def test_a_folder_gives_its_profiles_by_name(tmp_path: Path) -> None:
    write(tmp_path, "b.json", SMALLEST)
    write(tmp_path, "a.json", USUAL)
    write(tmp_path, "notes.txt", "no profile")
    found = read_profiles(tmp_path)
    assert {name: (file.file, file.profile is not None) for name, file in found.items()} == {
        "emea": ("b.json", True),
        "emea-vdi": ("a.json", True),
    }


def test_a_folder_that_is_not_there_is_an_empty_one(tmp_path: Path) -> None:
    assert read_profiles(tmp_path / "none") == {}


def test_a_broken_file_disables_its_own_profile_alone(tmp_path: Path) -> None:
    write(tmp_path, "good.json", SMALLEST)
    write(tmp_path, "broken.json", changed("name", "apac", changed("clusters", [])))
    found = read_profiles(tmp_path)
    assert found["emea"].profile is not None
    assert found["apac"].profile is None
    assert found["apac"].errors == ("broken.json: clusters: is empty. Give at least one.",)


def test_two_files_with_one_name_are_both_disabled_and_both_named(tmp_path: Path) -> None:
    write(tmp_path, "one.json", SMALLEST)
    write(tmp_path, "two.json", SMALLEST)
    write(tmp_path, "other.json", USUAL)
    found = read_profiles(tmp_path)
    assert found["emea"].profile is None
    (error,) = found["emea"].errors
    assert error.startswith("one.json, two.json: name: ")
    assert "Rename all but one." in error
    assert found["emea-vdi"].profile is not None


def test_a_file_without_a_usable_name_does_not_disable_the_profile_that_bears_its_files_name(tmp_path: Path) -> None:
    write(tmp_path, "emea.json", "{ broken")
    write(tmp_path, "new.json", SMALLEST)
    found = read_profiles(tmp_path)
    assert found["emea"].profile is not None
    assert found["emea.json"].name == "emea.json"
    assert found["emea.json"].errors[0].startswith("emea.json: line 1, column 3: is not JSON")


def test_a_byte_order_mark_is_tolerated(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(SMALLEST).encode())
    assert read_profiles(tmp_path)["emea"].profile is not None


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        pytest.param(
            json.dumps(SMALLEST).encode("utf-16"), "p.json: is not UTF-8 text. Save it as UTF-8.", id="utf-16"
        ),
        pytest.param(b"", "p.json: line 1, column 1: is not JSON", id="empty"),
        pytest.param(b"{'name': 1}", "p.json: line 1, column 2: is not JSON", id="single-quotes"),
        pytest.param(b'{\n "a": 1\n "b": 2}', "p.json: line 3, column 2: is not JSON", id="comma-forgotten"),
        pytest.param(b'{"a": 1 // why\n}', "p.json: line 1, column 9: is not JSON", id="comment"),
        pytest.param(b"[]", "p.json: is not a JSON object. Start it with '{'.", id="a-list"),
        pytest.param(b"5", "p.json: is not a JSON object", id="a-number"),
        pytest.param(b"[" * 100_000, "p.json: is not JSON that can be read: it is nested too deeply", id="too-deep"),
        pytest.param(b'{"name": ' + b"1" * 5000 + b"}", "a number that is too long", id="a-long-number"),
        pytest.param(b'{"site": {"kind": 1, "kind": 2}}', "p.json: kind: stands twice in one object", id="key-twice"),
    ],
)
def test_a_file_that_cannot_be_read_as_json(tmp_path: Path, raw: bytes, says: str) -> None:
    (tmp_path / "p.json").write_bytes(raw)
    file = read_profiles(tmp_path)["p"]
    assert file.profile is None
    assert says in file.errors[0]


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "gone.json").symlink_to(tmp_path / "nowhere")
    write(tmp_path, "good.json", SMALLEST)
    found = read_profiles(tmp_path)
    assert found["emea"].profile is not None
    assert found["folder"].errors == ("folder.json: cannot be read: Is a directory. Replace the file.",)
    assert found["gone"].errors == ("gone.json: cannot be read: No such file or directory. Replace the file.",)


@pytest.mark.parametrize("name", ["EMEA", "a b", "-a", "a" * 64, "", "a/b", "emea\n", 5, None])
def test_a_bad_name_falls_back_to_the_files(name: object) -> None:
    file = parse_profile(json.dumps(changed("name", name)), file="from-file.json")
    assert (file.name, file.named, file.profile) == ("from-file", False, None)
    assert file.errors[0].startswith("from-file.json: name: ")


@pytest.mark.parametrize("name", ["a", "9", "a-b-c", "a" * 63, "a-"])
def test_good_names(name: str) -> None:
    file = parse_profile(json.dumps(changed("name", name)), file="p.json")
    assert (file.name, file.errors) == (name, ())


@given(ANY_JSON)
def test_any_json_is_a_profile_or_has_errors_that_name_the_file(document: object) -> None:
    file = parse_profile(json.dumps(document), file="p.json")
    assert file.profile is None
    assert file.errors
    assert all(error.startswith("p.json: ") for error in file.errors)


PATHS = ["name", "site", "site.kind", "site.baseUrl", "clusters", "clusters.0", "clusters.0.relay", "clusters.0.host"]
PATHS += ["clusters.0.baseUrl", "scope", "scope.machines", "policy", "policy.dr", "policy.mode", "schedule", "extra"]


@settings(max_examples=300)
@given(st.sampled_from(PATHS), ANY_JSON)
def test_any_json_at_any_place_is_accepted_or_has_errors_that_name_the_file(path: str, value: object) -> None:
    file = parse_profile(json.dumps(changed(path, value)), file="p.json")
    assert (file.profile is None) == bool(file.errors)
    assert all(error.startswith("p.json: ") for error in file.errors)


@given(st.text(max_size=100))
def test_any_text_has_errors_that_name_the_file(text: str) -> None:
    assert all(error.startswith("p.json: ") for error in parse_profile(text, file="p.json").errors)
