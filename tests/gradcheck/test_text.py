"""A report as lines and as a dictionary, of results made by hand."""

from __future__ import annotations

import json
import math

from minires.gradcheck.report import Report
from minires.gradcheck.result import ArrayResult, Element, Verdict

NAN = math.nan
PASS, WRONG, KINK, ROUNDING = Verdict.PASS, Verdict.WRONG, Verdict.KINK, Verdict.ROUNDING


def element(index, analytic, numeric, verdict, error=1e-9, **more):
    return Element(index, analytic, numeric, error, verdict, "by hand", **more)


def lines(*arrays, **more):
    return str(Report("f", arrays, **more)).splitlines()


def test_how_many_numbers_were_looked_at():
    every = tuple(element((k,), 1.0 + k, 1.0 + k, PASS) for k in range(3))
    random = element(None, 2.0, 2.0 + 1e-6, PASS)
    assert lines(ArrayResult("x", (3,), every, PASS)) == [
        "f: PASS",
        "  PASS     x  3; all 3 numbers; largest relative difference 0.0e+00",
    ]
    assert lines(ArrayResult("x", (2, 5), every, PASS))[1] == (
        "  PASS     x  2×5; 3 of 10 numbers; largest relative difference 0.0e+00"
    )
    assert lines(ArrayResult("weight", (3,), (*every, random), PASS), ArrayResult("b", (4,), (random,), PASS))[1:] == [
        "  PASS     weight  3; all 3 numbers; 1 projections; largest relative difference 5.0e-07",
        "  PASS     b       4; 1 projections; largest relative difference 5.0e-07",
    ]
    number = ArrayResult("x", (), (element((), 1.0, 1.0, PASS),), PASS, note="by itself")
    assert lines(number)[1] == ("  PASS     x  a number; all 1 numbers; largest relative difference 0.0e+00; by itself")


def test_numbers_below_their_error_have_no_relative_difference():
    small, large = element((0,), 0.0, 1e-12, PASS, error=1e-9), element((1,), 1.0, 1.01, PASS, error=1e-3)
    edge = element((2,), -1e-9, 0.0, PASS, error=1e-9)
    assert "relative" not in lines(ArrayResult("x", (3,), (small, edge), PASS))[1]
    assert lines(ArrayResult("x", (3,), (small, large, edge), PASS))[1].endswith("largest relative difference 9.9e-03")


def test_the_worst_numbers_come_first_and_the_others_are_counted():
    differences = (0.5, NAN, 2.0, -3.0, 0.1, 0.2, 0.3)
    wrong = tuple(element((k,), 1.0 + d, 1.0, WRONG) for k, d in enumerate(differences))
    kink = element((9,), 5.0, 6.0, KINK, left=0.5, right=1.5, reason="a corner")
    fine = element((8,), 1.0, 1.0, PASS)
    found = lines(ArrayResult("x", (10,), (fine, kink, *wrong), WRONG, guess="the sign is flipped"))
    assert found[1] == "  WRONG    x  10; 9 of 10 numbers; 1 KINK, 7 WRONG"
    assert [line.split(":")[0].strip() for line in found[2:7]] == [f"WRONG at [{k}]" for k in (1, 3, 2, 0, 6)]
    assert found[3] == "             WRONG at [3]: analytic -2, numeric 1 ± 1e-09 (by hand)"
    assert found[7:] == ["             … and 3 more", "             looks like: the sign is flipped"]
    (line,) = lines(ArrayResult("x", (10,), (fine, kink), KINK))[2:]
    assert line.strip() == (
        "KINK at [9]: analytic 5, numeric 6 ± 1e-09, slopes 0.5 left, 1.5 right (by hand); a corner"
    )
    five = lines(ArrayResult("x", (10,), wrong[:5], WRONG))
    assert len(five) == 2 + 5


def test_slopes_are_shown_of_kinks_and_mistakes_alone():
    rounding = element(None, 1.0, 2.0, ROUNDING, left=1.0, right=2.0)
    half = element(None, 1.0, 2.0, WRONG, left=1.0)
    found = lines(ArrayResult("x", (1,), (rounding, half), WRONG))
    assert found[2].strip() == "WRONG along a random direction: analytic 1, numeric 2 ± 1e-09 (by hand)"
    assert "slopes" not in found[3]


def test_six_arrays_are_explained():
    wrong = (element((0,), 1.0, 2.0, WRONG),)
    found = lines(*(ArrayResult(f"x{k}", (1,), wrong, WRONG) for k in range(8)))
    assert sum(line.startswith("  WRONG") for line in found) == 8
    assert sum(line.strip().startswith("WRONG at") for line in found) == 6


def test_a_check_in_which_nothing_passed_says_so():
    kink = (element((0,), 1.0, 2.0, KINK),)
    nothing = "  nothing passed, so this check does not count as one: look at another point"
    assert lines(ArrayResult("x", (1,), kink, KINK), notes=("one", "two"))[-3:] == [
        nothing,
        "  note: one",
        "  note: two",
    ]
    assert nothing not in lines(ArrayResult("x", (1,), (element((0,), 1.0, 2.0, WRONG),), WRONG))
    assert nothing not in lines(ArrayResult("x", (1,), (element((0,), 1.0, 1.0, PASS), *kink), KINK))
    assert nothing not in lines(ArrayResult("x", (1,), (), Verdict.VACUOUS))


def test_the_dictionary_holds_what_json_can():
    array = ArrayResult("x", (2,), (element((0,), math.inf, NAN, WRONG), element((1,), 1.0, 1.0, PASS)), WRONG)
    found = Report("f", (array,), ("a note",), deterministic=False, settings={"order": 1, 2: -math.inf}).as_dict()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert (found["title"], found["verdict"], found["passed"], found["deterministic"]) == ("f", "WRONG", False, False)
    assert (found["notes"], found["settings"]) == (["a note"], {"order": 1, "2": "-inf"})
    (given,) = found["arrays"]
    assert (given["shape"], given["verdict"]) == ([2], "WRONG")
    assert (given["elements"][0]["analytic"], given["elements"][0]["numeric"]) == ("inf", "nan")
    assert (given["elements"][1]["index"], given["elements"][1]["verdict"]) == ([1], "PASS")
