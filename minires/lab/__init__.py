"""The "break it" lab: breaks the engine on purpose, and grades students' ops and exercises.

from minires import lab

with lab.break_engine("overwrite-instead-of-accumulate"):
    ...                                     # every backward pass of the process is now wrong
print(lab.MISTAKES["overwrite-instead-of-accumulate"].demonstrate())
print(lab.grade("relu.py"))                 # a mark for a student's own op, with reasons and hints
lab.grade(ReLU)                             # the same for a class, such as one of a notebook's cell
lab.check("skip.two-terms", my_function)    # an exercise of docs/lessons
"""

from minires.lab.exercises import EXERCISES, check
from minires.lab.exercises.checking import mystery
from minires.lab.grader import grade
from minires.lab.grading import FULL_MARK, Grade
from minires.lab.mistake import Mistake, Outcome
from minires.lab.mistakes import MISTAKES, break_engine, find

__all__ = [
    "EXERCISES",
    "FULL_MARK",
    "MISTAKES",
    "Grade",
    "Mistake",
    "Outcome",
    "break_engine",
    "check",
    "find",
    "grade",
    "mystery",
]
