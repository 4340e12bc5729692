"""The page in a browser, as the tests use it."""

from __future__ import annotations

from typing import Any

from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select, WebDriverWait

WIDE, NARROW = (1366, 900), (390, 844)


class Page:
    """A page in the browser: opens addresses, presses what has an id, and knows what the console said."""

    def __init__(self, driver: Any, address: str) -> None:
        self.driver, self.address = driver, address
        self.resize(WIDE)

    def resize(self, size: tuple[int, int]) -> None:
        """Give the window a size, so that the page sees it too."""
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": False},
        )

    def open(self, state: str = "") -> Page:
        """Open the page with a state, "step=5&shortcut=none", afresh."""
        self.driver.get("about:blank")
        self.driver.get_log("browser")
        self.driver.get(f"{self.address}#{state}")
        return self

    def js(self, script: str, *arguments: Any) -> Any:
        """Run JavaScript."""
        return self.driver.execute_script(script, *arguments)

    def by_id(self, name: str) -> Any:
        """The element with an id."""
        return self.driver.find_element(By.ID, name)

    def all(self, selector: str) -> list[Any]:
        """The elements that a CSS selector finds."""
        found: list[Any] = self.driver.find_elements(By.CSS_SELECTOR, selector)
        return found

    def press(self, name: str) -> None:
        """Click the element with an id, wherever on the page it is."""
        self.js("document.getElementById(arguments[0]).click()", name)

    def choose(self, name: str, value: str) -> None:
        """Choose an entry of a list."""
        Select(self.by_id(name)).select_by_value(value)

    def slide(self, name: str, value: float) -> None:
        """Move a slider."""
        self.js(
            "const e = document.getElementById(arguments[0]); e.value = arguments[1]; "
            "e.dispatchEvent(new Event('input', {bubbles: true}))",
            name,
            value,
        )

    def text(self, selector: str = "body") -> str:
        """The text that is shown."""
        return str(self.js("return document.querySelector(arguments[0])?.innerText ?? ''", selector))

    def state(self) -> str:
        """The state in the address."""
        return str(self.js("return location.hash")).removeprefix("#")

    def steps(self) -> int:
        """How many steps the timeline has."""
        return int(self.js("return Number(document.getElementById('go-slider').max)"))

    def step(self) -> int:
        """The step that is shown."""
        return int(self.js("return Number(document.getElementById('go-slider').value)"))

    def wait(self, script: str, seconds: float = 30) -> Any:
        """Wait until a JavaScript expression is true."""
        return WebDriverWait(self.driver, seconds, 0.05).until(lambda driver: driver.execute_script(f"return {script}"))

    def assert_clean(self) -> None:
        """No message in the console, nothing undefined in the text, and no scrolling sideways."""
        assert [entry["message"] for entry in self.driver.get_log("browser")] == []
        text = self.text()
        for sign in ("undefined", "[object", "NaN", "null"):
            assert sign not in text, (sign, self.state(), text)
        wider = self.js("return document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wider <= 0, f"the page is {wider} pixels too wide: {self.state()}"
