"""The block page in a real browser, opened from a file: every step, every switch, both languages, keys, addresses."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

pytest.importorskip("selenium", reason="needs a browser: selenium is not installed")
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from tests.explorer.oracle import Expected, array, traces
from tests.explorer.page import NARROW, WIDE, Page
from tests.explorer.test_block import SIX

pytestmark = pytest.mark.slow  # a real browser: seconds to start, and a second or so for each test

RED_GREEN_BLUE = (0.2126, 0.7152, 0.0722)  # how light each of them is, by WCAG's definition of contrast
DEFAULT = {
    "channels": 2, "input": "digit", "digit": 7, "pixels": "", "seed": 1, "shortcut": "identity", "norm": True,
    "pool": "max", "depth": 1, "scale": 1, "label": 0, "mistake": "",
}  # fmt: skip


@pytest.fixture
def page(chromium: Any, block_file: str) -> Page:
    return Page(chromium, block_file)


@pytest.mark.parametrize(
    ("setting", "lang", "size"),
    [
        ("", "en", WIDE),
        ("shortcut=projection&depth=3", "zh", NARROW),
        ("shortcut=none&norm=0&pool=avg&channels=1", "zh", WIDE),
        ("channels=4&input=random", "en", NARROW),
    ],
)
def test_every_step_forward_and_back(page: Page, setting: str, lang: str, size: tuple[int, int]) -> None:
    page.resize(size)
    page.open(f"lang={lang}&{setting}")
    texts = [page.text()]
    for number in range(1, page.steps() + 1):
        page.press("go-next")
        assert page.step() == number
        assert page.all(".node.now")
        assert page.text(".formula .head")
        texts.append(page.text())
        page.assert_clean()
    assert len(set(texts)) == len(texts)
    for number in range(page.steps() - 1, -1, -1):
        page.press("go-back")
        assert page.text() == texts[number]
    page.assert_clean()


@pytest.mark.parametrize(("lang", "size"), [("en", NARROW), ("zh", WIDE), ("en", (1920, 1080))])
def test_every_switch(page: Page, lang: str, size: tuple[int, int]) -> None:
    page.resize(size)
    page.open(f"lang={lang}&step=16")
    page.js("document.querySelector('.switches').open = true")
    last = page.js("return document.querySelector('.diagram').outerHTML")

    def changed() -> None:
        nonlocal last
        now = page.js("return document.querySelector('.diagram').outerHTML")
        assert now != last, page.state()
        last = now
        page.assert_clean()

    for name, values in {
        "digit": ["3"], "input": ["random", "digit"], "channels": ["1", "4", "2"], "label": ["2"],
        "shortcut": ["none", "projection", "identity"], "pool": ["avg"],
    }.items():  # fmt: skip
        for value in values:
            page.choose(f"set-{name}", value)
            changed()
    page.press("set-norm")
    changed()
    for name, value in {"depth": 20, "scale": 0.4, "seed": 7}.items():
        page.slide(f"set-{name}", value)
        changed()
    for tab in ("explain", "check", "depth", "train", "break"):
        page.press(f"tab-{tab}")
        assert page.text("#tab-panel")
        page.assert_clean()
    page.press("reset")
    changed()
    assert page.state().split("&")[0] == f"lang={lang}"


def test_the_steps_show_minires_numbers(page: Page) -> None:
    (found,) = traces([DEFAULT])
    gradients = Expected(found).gradients
    page.open("step=22&lang=en")
    cells = page.all("#t-grad-x .cell")
    shown = np.array([float(cell.get_attribute("title").replace("−", "-")) for cell in cells])
    want = gradients["x"].numpy().ravel()
    assert np.abs(shown - want).max() <= 1e-4 * np.abs(want).max()
    around = float(np.linalg.norm(array(found["sent"]["b1.sum"][1])))
    through = float(np.linalg.norm(array(found["sent"]["b1.conv1"][0])))
    shares = [float(each) for each in re.findall(r"(\d+)%", page.text(".shares"))]
    assert shares == [round(100 * around / (around + through)), round(100 * through / (around + through))]


def test_the_gradient_at_the_sum_goes_both_ways_undiminished(page: Page) -> None:
    page.open("step=16&lang=en")
    lengths = re.findall(r"‖g‖ = ([\d.]+)", page.text(".balance"))
    assert len(lengths) == 3
    assert len(set(lengths)) == 1
    assert "not divided" in page.text(".balance")


def test_a_convolutions_formula_has_the_actual_numbers(page: Page) -> None:
    (found,) = traces([DEFAULT])
    page.open("step=2&lang=en&cell=value:b1.conv1@43")
    products = page.js("return [...document.querySelectorAll('.product span')].map((e) => e.innerText)")
    total = sum(np.prod([float(each) for each in text.replace("−", "-").split("×")]) for text in products)
    want = array(found["values"]["b1.conv1"]).ravel()[43]
    assert total == pytest.approx(want, abs=0.1)  # products of numbers with two digits
    assert f"= {want:.5g}".replace("-", "−") in page.text(".formula")
    assert "y[1,1,1]" in page.text(".formula")
    assert "column 7 of 36, 18 numbers" in page.text(".formula")
    assert len(page.all(".tensor.in .source")) == 18


def test_the_pointer_chooses_a_cell_and_a_click_keeps_it(page: Page) -> None:
    page.open("step=4&lang=en")
    cell = page.all("#t-value-b1-relu1 .cell")[8]
    page.js("arguments[0].scrollIntoView({block: 'center'})", cell)
    ActionChains(page.driver).move_to_element(cell).perform()
    assert "y[0,1,2] = max" in page.text(".formula")
    cell.click()
    assert "cell=value%3Ab1.relu1%408" in page.state()


@pytest.mark.parametrize("pool", ["max", "avg"])
def test_the_pools_sums(page: Page, pool: str) -> None:
    page.open(f"step=14&pool={pool}&lang=en")
    assert "=" in page.text(".balance .sum")
    assert page.all(".balance .good")
    page.open(f"step=13&pool={pool}&lang=en&shortcut=none&digit=4&mistake={SIX[4] if pool == 'max' else SIX[5]}")
    assert "≠" in page.text(".balance .sum")


def test_the_check_agrees_and_notices(page: Page) -> None:
    page.open("step=22&tab=check&lang=en")
    assert float(page.text("#error").replace("e−", "e-")) < 1e-6
    page.slide("set-epsilon", -1)
    assert float(page.text("#error").replace("e−", "e-")) > 1e-6
    page.press("check-all")
    assert page.text(".all").count("agrees") == 9
    page.assert_clean()


@pytest.mark.parametrize(
    ("mistake", "more", "notices"),
    [
        (SIX[0], "", True),
        (SIX[1], "", True),
        (SIX[2], "", True),
        (SIX[3], "", True),
        (SIX[4], "shortcut=none&digit=4", False),
        (SIX[5], "pool=avg", True),
    ],
)
def test_each_mistake_and_whether_the_check_notices(page: Page, mistake: str, more: str, notices: bool) -> None:
    for lang in ("en", "zh"):
        page.open(f"step=22&tab=break&lang={lang}&{more}")
        before = page.js("return document.querySelector('.diagram').outerHTML")
        page.press(f"mistake-{mistake}")
        assert page.by_id("verdict").get_attribute("class") == ("bad" if notices else "good")
        page.assert_clean()
        assert (
            page.js("return document.querySelector('.diagram').outerHTML") != before or not notices or mistake == SIX[1]
        )


def test_learning_lowers_the_loss(page: Page) -> None:
    page.open("tab=train&lang=en")
    losses = [float(re.findall(r"Loss ([\d.]+)", page.text("#tab-panel"))[0])]
    page.press("train-one")
    losses.append(float(re.findall(r"Loss ([\d.]+)", page.text("#tab-panel"))[0]))
    page.slide("set-train", 30)
    losses.append(float(re.findall(r"Loss ([\d.]+)", page.text("#tab-panel"))[0]))
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0] / 2


def test_an_address_restores_the_state(page: Page) -> None:
    page.open("lang=zh&step=9&shortcut=projection&depth=4&scale=1.5&theme=dark&tab=depth&channels=3&pool=avg")
    first, address = page.text(), page.state()
    picture = page.js("return document.querySelector('.diagram').outerHTML")
    page.open(address)
    assert page.text() == first
    assert page.js("return document.querySelector('.diagram').outerHTML") == picture
    assert page.js("return document.documentElement.dataset.theme") == "dark"
    page.js("location.hash = 'lang=en&step=3'")
    page.wait("document.documentElement.lang === 'en'")
    assert page.step() == 3


def test_what_an_address_says_wrongly_is_named(page: Page) -> None:
    page.open("lang=en&step=3&shortcut=sideways&depth=99&colour=red&pixels=<script>")
    assert page.step() == 3
    for what in ("shortcut=sideways", "depth=99", "colour=red", "pixels=<script>"):
        assert what in page.text(".notice")
    page.assert_clean()


def test_with_the_keyboard_alone(page: Page) -> None:
    page.open("lang=en")
    keys = lambda *which: ActionChains(page.driver).send_keys(*which).perform()  # noqa: E731
    keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_LEFT)
    assert page.step() == 1
    keys(Keys.END)
    assert page.step() == page.steps()
    keys(Keys.HOME, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    reached = []
    for _ in range(80):
        keys(Keys.TAB)
        reached.append(page.js("return document.activeElement.id"))
        if reached[-1] == "t-value-b1-conv1":
            break
    wanted = ("view-block", "set-lang", "set-theme", "go-next", "go-play", "set-shortcut", "set-norm", "n-b1-conv1")
    assert set(wanted) <= set(reached)
    assert reached[-1] == "t-value-b1-conv1"
    before = page.text(".formula .head")
    keys(Keys.ARROW_DOWN)
    assert page.text(".formula .head") != before
    assert page.step() == 2
    assert page.js("return document.activeElement.id") == "t-value-b1-conv1"
    page.js("document.getElementById('n-b1-conv1').focus()")
    keys(Keys.ENTER)
    assert page.step() == 2
    page.js("document.activeElement.blur()")
    keys(Keys.SPACE)
    page.wait("document.getElementById('go-slider').value === '4'")
    keys(Keys.SPACE)
    page.assert_clean()


def test_painting(page: Page) -> None:
    page.open("lang=en&step=1&input=paint")
    cells = page.all("#t-value-x .cell")
    page.js("arguments[0].scrollIntoView({block: 'center'})", cells[0])
    across = int(cells[7].rect["x"] - cells[6].rect["x"])
    stroke = ActionChains(page.driver).move_to_element(cells[6]).click_and_hold()
    stroke.move_by_offset(across, 0).move_by_offset(across, 0).release().move_by_offset(across, 0).perform()
    shown = [cell.text for cell in page.all("#t-value-x .cell")]
    assert shown[6:10] == ["1.0", "1.0", "1.0", "0"]
    page.js("document.getElementById('t-value-x').focus()")
    ActionChains(page.driver).send_keys("0").perform()
    assert [cell.text for cell in page.all("#t-value-x .cell")][8] == "0"
    assert "input=paint" in page.state()
    page.assert_clean()


def test_dark_and_light_have_enough_contrast(page: Page) -> None:
    for theme in ("light", "dark"):
        page.open(f"theme={theme}&step=16&lang=en")
        ink, paper = (
            np.array(
                [
                    float(each)
                    for each in re.findall(r"[\d.]+", page.js(f"return getComputedStyle(document.body).{name}"))[:3]
                ]
            )
            for name in ("color", "backgroundColor")
        )
        light = [
            sum(c * _linear(v) for c, v in zip(RED_GREEN_BLUE, colour / 255, strict=True)) for colour in (ink, paper)
        ]
        assert (max(light) + 0.05) / (min(light) + 0.05) > 7


def _linear(value: float) -> float:
    return float(value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4)


def test_first_paint_is_fast_and_nothing_is_loaded(page: Page) -> None:
    paints = []
    for _ in range(3):
        page.open("lang=en&step=16")
        page.wait("performance.getEntriesByName('first-contentful-paint').length")
        paints.append(page.js("return performance.getEntriesByName('first-contentful-paint')[0].startTime"))
    assert min(paints) < 1000
    assert (
        page.js("return performance.getEntriesByType('resource').filter((e) => !e.name.startsWith('data:')).length")
        == 0
    )


def test_the_chart_of_depth_says_what_it_shows(page: Page) -> None:
    page.open("tab=depth&lang=en")
    assert "Set Blocks to 8 or more" in page.text("#tab-panel")
    for setting, said in (
        ("norm=0&depth=8&scale=0.5", "cannot vanish"),
        ("norm=0&depth=20&scale=3", "do not keep it from exploding"),
        ("norm=1&depth=20", "divides by its channel's deviation"),
    ):
        page.open(f"tab=depth&lang=en&{setting}")
        assert said in page.text("#tab-panel"), setting


def test_what_is_said_fits_the_shortcut_that_there_is(page: Page) -> None:
    page.open("step=1&shortcut=none&lang=en")
    assert "There is no shortcut" in page.text(".explanation")
    page.open("step=18&shortcut=projection&lang=en")
    assert "goes on through the 1×1 convolution" in page.text(".explanation")
    page.open("step=16&lang=en")
    assert "needs no weights and no batch norm" in page.text(".explanation")
    page.open("step=16&lang=en&mistake=add-in-place")
    assert "A mistake is switched on" in page.text("#tab-panel")


def test_an_address_of_a_later_step_than_there_is_opens_the_last_one(page: Page) -> None:
    page.open("shortcut=none&step=99&lang=en")
    found = re.search(r"Step (\d+) of (\d+)", page.text())
    assert found
    assert found[1] == found[2]
