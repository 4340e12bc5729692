"""Which tests are related to a source file: those beside it, and those that a table names.

`tests/` mirrors `minires/`: of minires/ops/norm.py the tests beside it are those in tests/ops, tests/ops/test_norm.py
first where it exists.
"""

from __future__ import annotations

from pathlib import Path

# Files whose behaviour is tested on purpose elsewhere: path or folder -> tests.
TABLE = {
    "minires/__init__.py": ["tests/test_packaging.py"],
    "minires/files.py": ["tests/training/test_run_folder.py", "tests/weights/test_load_save.py"],
    "minires/extras.py": ["tests/cli/test_cli.py"],
    "minires/__main__.py": ["tests/cli/test_cli.py"],
    "minires/autograd.py": ["tests/test_torch_names.py"],
    "minires/errors.py": ["tests/ops/test_bad_input.py", "tests/core/test_copying.py"],
    "minires/functional.py": ["tests/test_torch_names.py"],
    "minires/missing.py": ["tests/test_torch_names.py"],
    "minires/transfer.py": ["tests/data/test_download.py", "tests/weights"],
    "minires/utils": ["tests/test_torch_names.py", "tests/data"],
    "minires/terminal.py": ["tests/test_terminal.py", "tests/training/test_progress.py"],
    "minires/backend/reference": ["tests/backend/test_reference_pieces.py", "tests/ops"],
    # The cases of tests/ops against stored results of PyTorch; `branches` and `on_branches`; `celu_` and the like.
    "minires/ops": [
        *("tests/oracle/test_vectors.py", "tests/gradcheck/test_branches.py"),
        *("tests/core/test_inplace.py", "tests/test_torch_defaults.py"),
    ],
    "minires/nn": ["tests/test_torch_defaults.py"],
    "minires/optim": ["tests/test_torch_defaults.py"],
    "minires/ops/inplace.py": ["tests/core/test_inplace.py"],
    # Inputs: PyTorch's results on them are stored.
    "minires/gradcheck/catalogue.py": ["tests/oracle/test_examples.py"],
    "minires/lab/grading_cases.py": ["tests/oracle/test_examples.py"],
    "minires/nn/name_hints.py": ["tests/nn/test_module.py"],
    "minires/backend/shapes.py": ["tests/backend/test_window.py", "tests/ops/test_bad_input.py"],
    "minires/backend/dispatch.py": ["tests/core/test_modes.py"],
    "minires/core": ["tests/ops/test_conventions.py", "tests/ops/test_derivatives.py", "tests/ops/test_bad_input.py"],
    "minires/inspection": ["tests/cli/test_cli.py"],
    "minires/inference": ["tests/cli/test_cli.py"],
}


def related_tests(root: Path, path: str) -> list[str]:
    """The files and folders to hand to pytest, the nearest first: those of the file, those beside it, others."""
    source = Path(path)
    folder = Path("tests", *source.parts[1:-1])
    while not (root / folder).is_dir():
        folder = folder.parent
    beside = sorted(file.relative_to(root).as_posix() for file in (root / folder).glob("test_*.py"))
    if folder == Path("tests"):  # the files there test the repository: only the file's own
        beside = [test for test in beside if test.endswith(f"/test_{source.stem}.py")]
    own = f"{folder.as_posix()}/test_{source.stem}.py"
    beside.sort(key=lambda test: test != own)
    named = [
        test for prefix, tests in TABLE.items() if path == prefix or path.startswith(f"{prefix}/") for test in tests
    ]
    nearest = [*(test for test in beside if test == own), *TABLE.get(path, [])]
    return list(dict.fromkeys([*nearest, *beside, *named]))
