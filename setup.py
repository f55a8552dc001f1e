"""What pyproject.toml cannot say: how a wheel is built of a checkout without links.

Git writes a link as a text file where links are not allowed, as on Windows by default. The folders
that the links lead to are packages of edgekit all the same.
"""

from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

LINKED = ("calibration", "converters", "targets")


class BuildWithoutLinks(build_py):
    """Takes the packages from the folders at the top where no link leads to them."""

    def finalize_options(self) -> None:
        """Adds what `packages.find` of pyproject.toml does not find."""
        super().finalize_options()
        for name in LINKED:
            package = f"edgekit.{name}"
            if not Path("edgekit", name).is_dir() and not self.editable_mode:
                below = find_packages(name)
                self.packages = [*self.packages, package, *(f"{package}.{one}" for one in below)]
                self.package_dir = {**(self.package_dir or {}), package: name}


setup(cmdclass={"build_py": BuildWithoutLinks})
