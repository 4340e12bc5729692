"""Floor 6: `minires demo`, a lesson in one page: what a shortcut does to learning and to gradients, measured.

    demo.run("demo-out").report        # PosixPath('demo-out/report.html')

`networks` trains a residual network and its plain twin, `check` compares a block's gradients with finite differences,
`plots` draws and `report` writes what came out; `show` is what the terminal sees meanwhile. Every number on the page is
of the run that wrote it.
"""

from minires.demo.networks import Lesson
from minires.demo.program import DemoResult, run

__all__ = ["DemoResult", "Lesson", "run"]
