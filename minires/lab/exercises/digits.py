"""The exercises of a lesson."""

from minires.lab.exercises.exercise import Exercise

EXERCISES: tuple[Exercise, ...] = ()
