"""Put the folder `kernels/` of the checkout into the wheel and the sdist as `minibert/kernels/`.

In a checkout, `minibert/kernels` is a symbolic link to `../kernels`, for editors, type checkers and editable
installs. Git on Windows may check a link out as a small text file, so the build does not rely on it. In an
sdist there is neither link nor top-level folder: `minibert/kernels/` is an ordinary folder, mapped to itself.
"""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class KernelsHook(BuildHookInterface[Any]):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        folder, link = Path(self.root, "kernels"), Path(self.root, "minibert", "kernels")
        if version == "editable":
            if not link.is_dir():
                raise ValueError(
                    "an editable install needs minibert/kernels to be a symbolic link to ../kernels, and "
                    "here it is not: run `git config core.symlinks true` and "
                    "`git checkout -- minibert/kernels`, or install without -e"
                )
        else:
            source = folder if folder.is_dir() else link
            build_data["force_include"][str(source)] = "minibert/kernels"
