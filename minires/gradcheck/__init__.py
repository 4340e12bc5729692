"""Gradient checks: numerical against analytic gradients, with verdicts that explain themselves.

    from minires.gradcheck import gradcheck
    report = gradcheck(F.relu, mr.tensor(x, requires_grad=True))
    print(report)            # what was checked, and what is wrong
    report.check()           # raises unless it passed

docs/gradcheck.md explains how it works.
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
