"""Floor 6: the "break it" laboratory, where the engine is broken on purpose and students' ops are graded.

from minires import lab

with lab.break_engine("overwrite-instead-of-accumulate"):
    ...                                     # every backward pass of the process is now wrong
print(lab.MISTAKES["overwrite-instead-of-accumulate"].demonstrate())
print(lab.grade("relu.py"))                 # a student's own op: a mark, with reasons and hints
"""

from minires.lab.breaking import break_engine, find
from minires.lab.grade import Grade, grade
from minires.lab.mistake import Mistake, Outcome
from minires.lab.mistakes import MISTAKES

__all__ = ["MISTAKES", "Grade", "Mistake", "Outcome", "break_engine", "find", "grade"]
