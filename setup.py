"""Copies configs/ into the package of a wheel; everything else is in pyproject.toml."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class WithConfigs(build_py):
    """A build whose package holds the ready configurations."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib) / "ppo" / "configs"
        self.mkpath(str(target))
        for path in sorted(Path("configs").glob("*.yaml")):
            self.copy_file(str(path), str(target / path.name))


setup(cmdclass={"build_py": WithConfigs})
