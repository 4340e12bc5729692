"""`make test-aarch64`: what it says where its compiler is missing, and that its program checks every kernel."""

import re
import subprocess
import sys
from pathlib import Path

from tests.backend.cpu.standalone import __main__ as standalone


def test_without_the_cross_compiler_one_line_says_what_to_install(tmp_path):
    command = [sys.executable, "-m", "tests.backend.cpu.standalone"]
    done = subprocess.run(command, cwd=standalone.ROOT, env={"PATH": str(tmp_path)}, capture_output=True, text=True)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("make test-aarch64 needs aarch64-linux-gnu-gcc and qemu-aarch64; on Debian and Ubuntu: apt ")


def test_every_function_of_the_kernels_headers_is_called_by_a_check():
    """Declared for callers outside kernels/cpu are those of kernels.h, and of conv.h those that take an algorithm."""
    declared = set(re.findall(r"^(?:int|void) (\w+)\(", (standalone.KERNELS / "kernels.h").read_text("utf-8"), re.M))
    declared |= {"conv_forward", "conv_grad_input", "conv_grad_weight"}
    checks = "".join(path.read_text("utf-8") for path in standalone.HERE.glob("check_*.c"))
    assert len(declared) > 20
    assert {name for name in declared if not re.search(rf"\b{name}\(", checks)} == set()


def test_the_kernels_that_it_compiles_include_nothing_of_python():
    for source in standalone.sources():
        assert "arrays.h" not in source.read_text("utf-8"), source
    left_out = {path.name for path in standalone.KERNELS.glob("*.c")} - {path.name for path in standalone.sources()}
    assert all(
        "binding.h" in (Path(standalone.KERNELS) / name).read_text("utf-8") or name == "arrays.c" for name in left_out
    )
