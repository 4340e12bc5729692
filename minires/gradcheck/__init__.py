"""Gradient checks: numerical against analytic gradients, with verdicts that explain themselves.

    from minires.gradcheck import gradcheck
    report = gradcheck(F.relu, mr.tensor(x, requires_grad=True))
    print(report)            # what was checked, and what is wrong
    report.check()           # raises unless it passed

docs/gradcheck.md explains how it works. The files, from the bottom up: `problem` makes a function F of arrays; `line`
evaluates F along a line, and `numeric` differentiates it there; `judge` gives the verdict on one number; `under_test`
holds the analytic gradient at a point; `comparison` and `network` go through its numbers; `check` is the public one.
"""

from minires.gradcheck.audit import Audit, audit
from minires.gradcheck.check import gradcheck
from minires.gradcheck.derivatives import hessian, hessian_vector_product, jacobian, jvp, vjp
from minires.gradcheck.report import Report
from minires.gradcheck.result import ArrayResult, Element, Suspect, Verdict

__all__ = [
    "ArrayResult",
    "Audit",
    "Element",
    "Report",
    "Suspect",
    "Verdict",
    "audit",
    "gradcheck",
    "hessian",
    "hessian_vector_product",
    "jacobian",
    "jvp",
    "vjp",
]
