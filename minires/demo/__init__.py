"""`minires demo`: one page that shows what a shortcut does to learning and to gradients.

    demo.run("demo-out").report        # PosixPath('demo-out/report.html')

`networks` trains a residual network and its plain twin, `check` checks a block's gradients, `plots` draws the results,
`report` writes the page, and `console` prints progress in the terminal. Every number on the page is measured in the run
that writes it.
"""

from minires.demo.networks import DemoConfig
from minires.demo.program import DemoResult, run

__all__ = ["DemoConfig", "DemoResult", "run"]
