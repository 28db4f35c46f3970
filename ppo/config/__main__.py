"""`python -m ppo.config > config.yaml` writes the common options with their defaults."""

import argparse
import json
import sys

from ppo.config import Config
from ppo.config.listing import markdown, schema


def main() -> None:
    """Writes the chosen text to stdout."""
    parser = argparse.ArgumentParser(prog="python -m ppo.config", description=__doc__)
    parser.add_argument("--all", action="store_true", help="every option, also those for experts")
    parser.add_argument("--markdown", action="store_true", help="the page docs/options.md")
    parser.add_argument("--schema", action="store_true", help="docs/config.schema.json")
    args = parser.parse_args()
    if args.schema:
        json.dump(schema(Config), sys.stdout, indent=1)
        sys.stdout.write("\n")
        return
    text = Config().to_yaml(common_only=not args.all)
    sys.stdout.write(markdown(Config) if args.markdown else text)


if __name__ == "__main__":
    main()
