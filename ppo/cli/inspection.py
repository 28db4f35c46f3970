"""What an inspection found, in words and figures, as wide as the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from ppo.cli.blocks import USUAL_CUT
from ppo.core.figures import number
from ppo.core.screen import WIDEST, fold, rows, width

SHOWN = 24  # entries listed one by one
NAME = 10  # characters of an entry's name, so that a row fits 80 columns
WORDS = {
    "constant": "constant: holds no information, becomes 0",
    "heavy": "heavy tails: squash (symlog), then normalize",
    "scale": "normalize",
    "fine": "fine as it is",
}
SHORT = {"heavy": "heavy: symlog", "scale": "normalize", "constant": "constant"}
YARDSTICK = (
    "in variances of its target an untrained loss is about 1 (it predicts the mean); early 0.5 to "
    "1, good below 0.5, excellent below 0.1"
)


class Table(NamedTuple):
    """Rows of a name and figures, and the words behind each."""

    grid: list[list[str]]
    words: list[str]


Parts = Iterator[str | Table]


def text_of(found: dict[str, Any]) -> str:
    """The report of an inspection of an environment or of a file."""
    columns = min(width(), WIDEST)
    parts = [*_head(found), *_entries("observations", found["observations"])]
    parts += list(_actions(found))
    if "regression" in found:
        parts += [*_data(found)]
    else:
        parts += [*_rewards(found), *_losses(found)]
    parts += ["", "Questions"]
    for question, answer in _questions(found):
        parts += [f"  {question}", f"    {answer}"]
    lines: list[str] = []
    for part in parts:
        if isinstance(part, Table):
            lines += rows(part.grid, columns, part.words)
        else:
            lines.append(fold(part, columns, further=0))
    return "\n".join(lines)


def _head(found: dict[str, Any]) -> Iterator[str]:
    if "file" in found:
        yield (
            f"{found['file']}: {found['steps']:,} steps of {found['episodes']:,} episodes, for "
            f"{found['environment']}"
        )
        return
    yield f"{found['environment']}: {found['steps']:,} steps of the untrained policy"
    same = found["deterministic"]
    yield (
        "deterministic: two copies with one seed gave the same numbers"
        if same["same"]
        else f"not deterministic: two copies with one seed differ from step "
        f"{same['differs_at_step']} on, so no run can be repeated exactly"
    )


def _entries(title: str, entries: list[dict[str, Any]]) -> Parts:
    yield ""
    if not entries:
        yield f"{title}: images alone, of which no numbers are listed"
        return
    grid, words = [[title, "mean", "std", "min", "max", "kurtosis"]], [""]
    for i, entry in enumerate(entries[:SHOWN]):
        figures = [*_spread(entry), number(entry["kurtosis"])]
        name = str(entry.get("name", ""))
        name = name if len(name) <= NAME else f"{name[: NAME - 1]}~"
        grid.append([f"entry {i}" + f" {name}" * bool(name), *figures])
        words.append(SHORT.get(entry["verdict"], "") if title == "observations" else "")
    yield Table(grid, words)
    if len(entries) > SHOWN:
        rest = [entry["verdict"] for entry in entries[SHOWN:]]
        counts = ", ".join(f"{rest.count(kind)} {kind}" for kind in WORDS if kind in rest)
        yield f"  and {len(rest)} more entries: {counts}"


def _actions(found: dict[str, Any]) -> Parts:
    actions = found["actions"]
    yield from _entries("actions", actions["entries"])
    if actions["discrete"]:
        yield "  choices: nothing to normalize"


def _rewards(found: dict[str, Any]) -> Parts:
    yield ""
    grid = [["rewards", "mean", "std", "min", "max", "zero"]]
    words = ["return: mean +- std"]
    for name, part in found["components"].items():
        grid.append([name, *_spread(part["reward"]), f"{part['zero_share']:.0%}"])
        words.append(" +- ".join(_spread(part["return"])[:2]))
    grid.append(["discounted return", *_spread(found["return"]), ""])
    yield Table(grid, [*words, ""])
    sizes = [p["return"]["std"] for p in found["components"].values() if p["return"]["std"] > 0]
    if len(sizes) > 1:
        apart = max(sizes) / min(sizes)
        advice = (
            "each has its own critic and statistics; with ppo.component_mixing sum only the "
            "largest would count for the policy"
            if apart > 100
            else "all of them count for the policy"
        )
        yield f"  components' returns are {number(apart)} times apart: {advice}"


def _spread(figures: dict[str, float]) -> list[str]:
    return [number(figures[key]) for key in ("mean", "std", "min", "max")]


def _losses(found: dict[str, Any]) -> Parts:
    losses = found["losses"]
    yield ""
    where = "shared gradient" if losses["shared_encoder"] else "gradient of all parameters"
    grid = [["loss terms", "loss", "weight", "share", "gradient", "share", "balancing"]]
    for name, term in losses["terms"].items():
        of_loss = [number(term["loss"]), number(term["weight"]), _percent(term["loss_share"])]
        of_gradient = [number(term["gradient_norm"]), _percent(term["gradient_share"])]
        grid.append([name, *of_loss, *of_gradient, number(term["balancing_weight"])])
    yield Table(grid, [])
    yield (
        f"  share: of the weighted loss, and of the {where}; balancing: the weight that would make "
        "the term's gradient as long as the policy's. Output layers have gain 1 here, for those "
        "of a new network pass no gradient on."
    )


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _data(found: dict[str, Any]) -> Parts:
    yield ""
    grid = [["regression", *found["regression"]]]
    names = next(iter(found["regression"].values()))["losses"]
    for name in names:
        grid.append([f"loss: {name}", *_cells(found, lambda part, n=name: part["losses"][n])])
    for key, words in {
        "target_std": "target std",
        "target_min": "target min",
        "target_max": "target max",
        "largest_sample_loss": "largest sample loss",
        "cut": "gradient / limit",
    }.items():
        grid.append([words, *_cells(found, lambda part, k=key: part[k])])
    yield Table(grid, [])
    if len(names) > 1:
        for kind, part in found["regression"].items():
            norms = part["gradient_norms"]
            share = part["losses"]["trajectory"] / sum(part["losses"].values())
            weight = norms["actions"] / norms["trajectory"] if norms["trajectory"] else None
            yield (
                f"  {kind}: with weight 1 errors of trajectories are {share:.0%} of the loss; "
                f"their gradient is as long as that of actions with imitation.trajectory_weight "
                f"{number(weight)}"
            )


def _cells(found: dict[str, Any], pick: Any) -> list[str]:
    return [number(pick(part)) for part in found["regression"].values()]


# ---- the questions that every user of such data has asked


def _questions(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "Is my loss too big?", _too_big(found)
    yield "What is good at this stage?", YARDSTICK
    averaged = "averaged over active elements, so that masks, batch size and dimensions do not "
    averaged += "matter"
    if "components" in found:
        averaged += "; the critics' mean losses are summed over the reward components"
    yield "Averaged or summed?", averaged
    yield "Are gradients cut, by how much?", _cut(found)
    yield "Is the action normalized?", _action_answer(found)
    if found["observations"]:  # nothing but images has no numbers to list
        yield "Why are there values of 3 or 50 in normalized data?", _far(found)
    yield "Which inputs need work?", _inputs(found)


def _too_big(found: dict[str, Any]) -> str:
    if "regression" in found:
        raw, norm = (found["regression"][kind] for kind in ("raw", "normalized"))
        return (
            f"raw, the loss of actions is {number(raw['losses']['actions'])}; normalized it is "
            f"{number(norm['losses']['actions'])}. Only the normalized one can be judged"
        )
    losses = found["losses"]
    value = losses["terms"]["value"]["loss"]
    text = (
        f"on raw returns the value loss would be {number(losses['raw_value_loss'])}; "
        f"as configured it is {number(value)}"
    )
    text += f", in {losses['unit']}"
    count = len(found["components"])
    if count > 1:
        text += f" and summed over {count} components"
    return text if losses["normalized_returns"] else f"{text}: set ppo.normalize_returns true"


def _cut(found: dict[str, Any]) -> str:
    if "regression" in found:
        parts = found["regression"]
        raw, norm = parts["raw"]["cut"], parts["normalized"]["cut"]
        return (
            f"raw, the gradient is {number(raw)} times the limit of "
            f"{number(parts['raw']['max_grad_norm'])}; normalized {number(norm)} times. Above 1 "
            "every step is cut to the same length and the loss's size is lost"
        )
    losses = found["losses"]
    return (
        f"on raw returns the gradient would be {number(losses['raw_cut'])} times "
        f"ppo.max_grad_norm ({number(losses['max_grad_norm'])}); as configured "
        f"{number(losses['cut'])} times. {USUAL_CUT}"
    )


def _action_answer(found: dict[str, Any]) -> str:
    actions = found["actions"]
    if actions["discrete"]:
        return "actions are choices: there is nothing to normalize"
    if "regression" in found:
        stds = [entry["std"] for entry in actions["entries"]]
        return (
            f"the file's actions have standard deviations {number(min(stds))} to "
            f"{number(max(stds))}; imitation standardizes them and keeps their statistics in the "
            "policy"
        )
    reach = max(actions["half_range"])
    if not actions["bounded"]:
        return "partly: entries without bounds are used in the environment's own units"
    inside = (
        "a tanh keeps them inside"
        if actions["squash"] == "tanh"
        else f"{actions['clipped_share']:.0%} of the untrained policy's lie beyond the bounds and "
        "are clipped"
    )
    return (
        "yes: the policy works in units where the bounds are -1 and 1 (up to "
        f"{number(reach)} in the environment's units) and its actions are carried back; {inside}"
    )


def _far(found: dict[str, Any]) -> str:
    entries = found["observations"]
    far = max(range(len(entries)), key=lambda i: entries[i]["largest_deviations"])
    return (
        "mean 0 and standard deviation 1 hold for the whole population, not for each value: values "
        "of 3 are usual. The farthest here is entry "
        f"{far}, {number(entries[far]['largest_deviations'])} standard deviations out; beyond "
        "env.observation_clip values are cut"
    )


def _inputs(found: dict[str, Any]) -> str:
    kinds: dict[str, list[int]] = {}
    for i, entry in enumerate(found["observations"]):
        kinds.setdefault(entry["verdict"], []).append(i)
    if set(kinds) <= {"fine"}:
        return "none: all entries are of a size that a network takes as it is"
    parts = [
        f"{_names(kinds[kind])}: {WORDS[kind]}"
        for kind in ("heavy", "scale", "constant")
        if kind in kinds
    ]
    if "heavy" in kinds:
        parts.append("set env.squash_observations symlog and env.normalize_observations true")
    elif "scale" in kinds:
        parts.append("env.normalize_observations, on as shipped, does it")
    return "; ".join(parts)


def _names(entries: list[int]) -> str:
    shown = ", ".join(map(str, entries[:12]))
    more = f" and {len(entries) - 12} more" if len(entries) > 12 else ""
    return f"{'entry' if len(entries) == 1 else 'entries'} {shown}{more}"
