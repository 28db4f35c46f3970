"""Every setting in words: the generated page and the search."""

import json
from pathlib import Path

import pytest
import yaml

from ppo.config import Config
from ppo.config.listing import markdown, matching, schema, settings
from ppo.config.words import is_model, known_paths
from ppo.core.errors import UserError

ROOT = Path(__file__).parents[2]
READY = sorted([*ROOT.glob("configs/*.yaml"), *ROOT.glob("benchmarks/configs/*.yaml")])


def test_the_committed_page_is_what_is_generated() -> None:
    text = (ROOT / "docs" / "options.md").read_text()
    assert text == markdown(Config), "run: python -m ppo.config --markdown > docs/options.md"


def test_every_setting_is_listed_once_with_its_default_and_meaning() -> None:
    names = [name for name, f in known_paths(Config).items() if not is_model(f.annotation)]
    found = settings(Config)
    assert [item.name for item in found] == names
    defaults = Config().to_dict()
    for item in found:
        section, _, key = item.name.partition(".")
        assert item.default == defaults[section][key]
        assert item.meaning and item.allowed and item.tier in ("common", "expert")


def test_a_word_is_looked_for_in_names_and_meanings() -> None:
    assert "ppo.learning_rate" in [item.name for item in matching(Config, "Adam step")]
    assert all("clip" in item.name + item.meaning for item in matching(Config, "CLIP"))
    assert matching(Config, None) == settings(Config)


@pytest.mark.parametrize(
    ("word", "name"),
    [("lr", "ppo.learning_rate"), ("n_epochs", "ppo.num_epochs"), ("ent-coef", "ppo.entropy_coef")],
)
def test_a_word_of_another_library_finds_our_setting(word: str, name: str) -> None:
    (item,) = matching(Config, word)
    assert item.name.startswith(name)


def test_a_word_that_matches_nothing_gets_the_nearest_names() -> None:
    with pytest.raises(UserError, match=r"lerning_rate: .*nearest: ppo\.learning_rate"):
        matching(Config, "lerning_rate")
    with pytest.raises(UserError) as caught:
        matching(Config, "qxjzk")
    assert "nearest" not in str(caught.value)


def test_the_schema_for_editors_is_that_of_the_options() -> None:
    found = json.loads((ROOT / "docs" / "config.schema.json").read_text())
    assert found == schema(Config), "run: python -m ppo.config --schema > docs/config.schema.json"


def test_editors_accept_the_shipped_files_and_mark_what_is_wrong() -> None:
    checker = pytest.importorskip("jsonschema").Draft202012Validator(schema(Config))
    for path in [ROOT / "config.yaml", *READY]:
        assert not list(checker.iter_errors(yaml.safe_load(path.read_text()))), path.name
    for wrong in ("ppo: {gama: 1}", "ppo: {gamma: high}", "ppo: {gamma: 2}", "pp: {}"):
        assert list(checker.iter_errors(yaml.safe_load(wrong))), wrong
