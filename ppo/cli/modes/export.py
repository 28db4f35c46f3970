"""the policy with its normalization baked in, as ONNX or torch.export program, checked"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ppo.cli.flags import add_trust

COMMON = ("--results",)


def add_arguments(parser: Any) -> None:
    parser.add_argument("--run", default="latest", metavar="RUN", help="run0007, latest or a path")
    parser.add_argument(
        "--format", default="onnx", metavar="FORMAT", help="onnx or torch_export (onnx)"
    )
    parser.add_argument("--which", choices=["best", "latest"], default="best", help="checkpoint")
    parser.add_argument(
        "--data", type=Path, metavar="FILE", help="written; default: policy.onnx in the run"
    )
    add_trust(parser)


def run(args: argparse.Namespace) -> int:
    from ppo.core.program import install
    from ppo.core.screen import fold
    from ppo.policies.export import export

    done = export(args.run, args.results, args.format, args.data, args.which, args.trust)
    print(f"wrote {done.path}")
    inputs = ", ".join(map(str, done.inputs))
    print(fold(f"in: {inputs}; out: environment actions (the mode of the policy)"))
    if done.runtime:
        print(
            f"checked with {done.runtime}: largest difference from the policy "
            f"{done.largest_difference:.2g}"
        )
    else:
        print(f"not checked: onnxruntime is not installed; run: {install('export')}")
    return 0
