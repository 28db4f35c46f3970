"""Settings that are each valid and do not fit together: refused before anything is made."""

import sys
from itertools import product
from pathlib import Path

import pytest
from learner_tools import HOST, learner, settings

from ppo.algorithm import build
from ppo.cli import main
from ppo.config import Config
from ppo.config.consistency import BINNED_LOSSES, CLIPS_IN_LENGTHS, LOGARITHMIC
from ppo.config.learning import PPOConfig
from ppo.config.words import choices, schema_at
from ppo.core import parallel
from ppo.core.errors import UserError
from ppo.values import HEADS, SCALES


def refused(*overrides: str) -> list[str]:
    with pytest.raises(UserError) as caught:
        Config.load(None, overrides)
    return caught.value.messages


def sets(*overrides: str) -> list[str]:
    return [word for override in overrides for word in ("--set", override)]


def test_every_mismatch_comes_at_once() -> None:
    found = refused(
        "env.num_envs=9", "ppo.num_steps=9", "ppo.gamma=0.9999",
        "ppo.gamma_schedule=critic", "ppo.value_loss=two_hot", "ppo.normalize_returns=false",
        "env.backend=torch", "env.frame_stack=2",
        "ppo.num_minibatches=16", "ppo.max_gamma=0.999",
    )  # fmt: skip
    beginnings = [
        "--set ppo.num_minibatches=16: env.num_envs 9 x ppo.num_steps 9 = 81 samples cannot",
        "--set ppo.max_gamma=0.999: ppo.max_gamma 0.999 is below ppo.gamma 0.9999",
        "--set ppo.value_loss=two_hot: ppo.value_loss two_hot needs bounded targets",
        "--set env.frame_stack=2: torch environments cannot stack",
    ]
    assert len(found) == len(beginnings)
    assert all(map(str.startswith, found, beginnings)), found


def test_a_mismatch_is_answered_before_an_environment_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "trap.py").write_text("raise SystemExit('imported')")
    sys.path.insert(0, str(tmp_path))
    more = sets("env.id=trap:X-v0", "ppo.return_normalizer=symlog")
    try:
        assert main(["--mode", "train", "--results", str(tmp_path / "results"), *more]) == 2
    finally:
        sys.path.remove(str(tmp_path))
    (line,) = capsys.readouterr().err.splitlines()
    assert "ppo.value_clip relative has no meaning in the logarithmic units" in line
    assert not (tmp_path / "results").exists()


# ---- one sample


@pytest.mark.parametrize("memory", ["none", "gru"])
def test_a_minibatch_of_one_sample_is_refused_with_the_arithmetic(memory: str) -> None:
    few = ("env.num_envs=4", f"network.memory={memory}", "ppo.num_minibatches=4")
    (line,) = refused(*few, "ppo.num_steps=1")
    assert line.startswith(
        "--set ppo.num_minibatches=4: env.num_envs 4 x ppo.num_steps 1 = 4 samples in"
        " ppo.num_minibatches 4 parts: the standard deviation of 1 sample is 0"
    )
    assert line.endswith("write a smaller ppo.num_minibatches or ppo.normalize_advantages batch")
    Config.load(None, [*few, "ppo.num_steps=2"])  # with memory: one environment of two samples
    Config.load(None, [*few, "ppo.num_steps=1", "ppo.normalize_advantages=batch"])


def test_a_batch_of_one_sample_is_refused_where_it_is_normalized() -> None:
    one = ("env.num_envs=1", "ppo.num_minibatches=1", "ppo.num_steps=1")
    for kind in ("minibatch", "batch"):
        (line,) = refused(*one, f"ppo.normalize_advantages={kind}")
        assert "= 1 sample: the standard deviation of 1 sample is 0" in line
        assert line.endswith("write a larger ppo.num_steps or ppo.normalize_advantages none")
    Config.load(None, [*one, "ppo.normalize_advantages=none"])


@pytest.mark.parametrize(("minibatches", "moves"), [(4, False), (2, True)])
def test_what_is_refused_would_not_train_the_policy(minibatches: int, moves: bool) -> None:
    """Of four samples: with one in each minibatch the actor stays where it is."""
    few = {"env__num_envs": 2, "ppo__num_steps": 2, "network__shared_encoder": "false"}
    run = learner("Pendulum-v1", **few)
    run.update.config = run.update.config.model_copy(update={"num_minibatches": minibatches})
    flat = run.optimizer.flat
    actor = flat.mask(lambda name: name.startswith("agent.") and "critic" not in name).bool()
    before = flat.theta.clone()
    run.step()
    assert not before.equal(flat.theta)
    assert before[actor].equal(flat.theta[actor]) != moves


# ---- kinds of values


def test_the_lists_of_kinds_are_what_the_kinds_say() -> None:
    registry = HEADS
    assert sorted(BINNED_LOSSES) == [n for n in registry.names() if not registry.get(n).linear]
    registry = SCALES
    assert sorted(LOGARITHMIC) == [n for n in registry.names() if not registry.get(n).affine]
    unbounded = [n for n in registry.names() if registry.get(n).support is None]
    assert unbounded == [PPOConfig(normalize_returns=False).value_scale_kind] == ["identity"]


KINDS = {
    name: choices(schema_at(Config, ("ppo", name)))
    for name in ("value_loss", "return_normalizer", "value_clip")
} | {"normalize_returns": ("true", "false"), "use_relative_value_clip": ("true", "false")}


def test_what_is_accepted_can_be_built_and_the_rest_is_refused() -> None:
    """`build` asserts what a configuration has promised; nothing else stands between them."""
    refusals = 0
    config = settings("DoubleIntegrator-v0", network__hidden_sizes="[2]")
    envs = build.build_environments(config, HOST)
    for values in product(*KINDS.values()):
        chosen = dict(zip(KINDS, values, strict=True))
        try:
            made = config.with_overrides([f"ppo.{name}={word}" for name, word in chosen.items()])
        except UserError as error:
            refusals += 1
            binned = made_unbounded(chosen) and "needs bounded targets" in str(error)
            assert binned or made_logarithmic(chosen), chosen
            continue
        assert not made_unbounded(chosen) and not made_logarithmic(chosen), chosen
        agent, scale = build.build_agent(made, envs.layout, envs.action_space, 1)
        build.build_objective(made, agent, scale)
    assert refusals


def made_unbounded(chosen: dict[str, str]) -> bool:
    return chosen["normalize_returns"] == "false" and chosen["value_loss"] in BINNED_LOSSES


def made_logarithmic(chosen: dict[str, str]) -> bool:
    kind = chosen["value_clip"]
    relative = kind == "auto" and chosen["use_relative_value_clip"] == "true"
    symlog = chosen["normalize_returns"] == "true" and chosen["return_normalizer"] == "symlog"
    return symlog and (relative or kind in CLIPS_IN_LENGTHS)


# ---- several processes


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["env.num_envs=9"], "env.num_envs: 9 cannot be shared by 2 processes; nearest: 8"),
        (["ppo.num_minibatches=16"], "ppo.num_minibatches: in each of 2 processes, env.num_envs 4"),
        (
            ["ppo.num_minibatches=8", "network.memory=gru"],
            "ppo.num_minibatches: in each of 2 processes, with network.memory a minibatch is whole",
        ),
        (
            ["ppo.num_minibatches=8", "ppo.num_steps=2"],
            "ppo.num_minibatches: in each of 2 processes, env.num_envs 4 x ppo.num_steps 2 = 8",
        ),
    ],
)
def test_each_process_has_its_share_of_what_must_fit(
    monkeypatch: pytest.MonkeyPatch, more: list[str], expected: str
) -> None:
    whole = ["env.num_envs=8", "ppo.num_steps=6", "ppo.num_minibatches=3"]
    config = Config.load(None, [*whole, *more])
    build.build_environments(config, HOST)
    monkeypatch.setattr(parallel, "world_size", lambda: 2)
    with pytest.raises(UserError) as caught:
        build.build_environments(config, HOST)
    assert caught.value.messages[0].startswith(expected), caught.value.messages


def test_a_number_that_no_line_has_room_for_is_named_by_its_size() -> None:
    for key in ("env.num_envs", "ppo.num_steps", "ppo.num_minibatches"):
        others = ["env.num_envs=256", "ppo.num_steps=60", "ppo.num_minibatches=7"]
        values = [*others, f"{key}=1e+251", "network.memory=lstm"]
        with pytest.raises(UserError) as caught:
            Config.from_dict({}, values)
        assert "e+2" in str(caught.value), key
        assert all(len(line) < 500 for line in caught.value.messages)


@pytest.mark.parametrize("more", [["ppo.max_gamma=1"], ["ppo.gamma=1", "ppo.max_gamma=1"]])
def test_a_horizon_that_follows_the_critic_has_a_number(more: list[str]) -> None:
    (line,) = refused("ppo.gamma_schedule=critic", "ppo.noise=white", *more)
    assert "has no number at ppo.max_gamma 1; write 0.9999 or less" in line
    contest = ["ppo.noise=contest", "ppo.max_gamma_contest=1"]
    (line,) = refused("ppo.gamma_schedule=critic", "ppo.max_gamma=0.99", *contest)
    assert "at ppo.max_gamma_contest 1" in line
    Config.load(None, ["ppo.gamma_schedule=critic", "ppo.max_gamma=0.99", "ppo.noise=white",
                       "ppo.max_gamma_contest=1"])  # fmt: skip


def test_a_rate_that_follows_a_divergence_has_one_to_follow() -> None:
    (line,) = refused("ppo.learning_rate_schedule=kl", "ppo.target_kl=null")
    assert line.endswith("follows ppo.target_kl, which is null; write a number such as 0.01")
    kl = ["ppo.learning_rate_schedule=kl", "ppo.target_kl=0.01", "ppo.num_epochs=1"]
    (line,) = refused(*kl, "ppo.num_minibatches=1")
    assert line.endswith("0 before the only one of a batch; write ppo.num_epochs 2 or more")
    Config.load(None, [*kl, "ppo.num_minibatches=2"])
