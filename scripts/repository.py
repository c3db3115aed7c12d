"""Check the files that only serve the repository: python scripts/repository.py. It needs the extra `lint`.

zizmor looks for weaknesses of the workflows, and check-jsonschema compares each file with its schema. Both work without
a network. If `actionlint` is in PATH, it checks the workflows as well.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SCHEMAS = {
    "vendor.github-workflows": ".github/workflows/*.yml",
    "vendor.github-issue-forms": ".github/ISSUE_TEMPLATE/[bf]*.yml",
    "vendor.github-issue-config": ".github/ISSUE_TEMPLATE/config.yml",
    "vendor.dependabot": ".github/dependabot.yml",
    "vendor.readthedocs": ".readthedocs.yml",
    "vendor.citation-file-format": "CITATION.cff",
}


def main() -> int:
    """Run every check, and return 1 if one of them failed."""
    workflows = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
    zizmor = shutil.which("zizmor", path=Path(sys.executable).parent) or "zizmor"
    commands: list[list[str | Path]] = [[zizmor, "--offline", "--pedantic", "--quiet", "."]]
    for schema, pattern in SCHEMAS.items():
        files = sorted(ROOT.glob(pattern))
        assert files, pattern
        commands.append([sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *files])
    if actionlint := shutil.which("actionlint"):
        commands.append([actionlint, *workflows])
    codes = [subprocess.run(command, cwd=ROOT, check=False).returncode for command in commands]
    return int(any(codes))


if __name__ == "__main__":
    sys.exit(main())
