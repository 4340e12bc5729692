"""Writes the exercise pages, one for each mistake, and the answers: `python -m minires.lab.pages docs/lab`.

The tables on the pages are measured when a page is written. A test measures them again and compares.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

from minires.files import atomic_write
from minires.lab.mistake import Mistake
from minires.lab.mistakes import MISTAKES

ANSWERS = "answers.md"

_PAGE = """\
# {title}

One of the twelve classic mistakes of the ["break it" lab](README.md). Here the engine is broken on purpose; you find
out what that does, and how one would notice.

## The broken code

{replaced}

```python
{code}
```

## What it does

`minires lab show {name}` measures it on your machine:

```text
{measured}
```

You can look further, with the engine broken inside a block:

```python
from minires import lab

with lab.break_engine("{name}"):
    ...  # build a network, run it forward and backward, compare
```

## Your task

1. Open the file that is named above and find the right code. What does the broken code leave out, or do too much?
2. Explain each row of the table in which the two columns differ, and one in which they do not.
3. Write a test that passes on the right engine and fails inside `lab.break_engine("{name}")`.

## Questions

{questions}

## A hint

<details><summary>Only if you are stuck</summary>

{hint}

</details>
"""

_ANSWERS = """\
# For the teacher: what the numbers say, and the answers

To [the lab](README.md). Each section belongs to one exercise page.

{sections}"""

_SECTION = """\
## [{title}]({name}.md)

{lesson}

*Noticed by:* {checked_by}.

{answer}
"""


def _wrapped(text: str, indent: str = "") -> str:
    return textwrap.fill(text, 120, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def page(mistake: Mistake) -> str:
    """The mistake's exercise page, in Markdown, with the symptom measured now."""
    questions = "\n".join(_wrapped(f"{number}. {each}", "   ") for number, each in enumerate(mistake.questions, 1))
    replaced = f"Replaced: {mistake.replaces}. Instead of what stands there, the engine now does this:"
    return _PAGE.format(
        title=mistake.title,
        replaced=_wrapped(replaced),
        code=mistake.code.rstrip(),
        name=mistake.name,
        measured=mistake.demonstrate(),
        questions=questions,
        hint=_wrapped(mistake.hint),
    )


def answers() -> str:
    """The page with the answers, in Markdown."""
    sections = (
        _SECTION.format(
            title=mistake.title,
            name=mistake.name,
            lesson=_wrapped(mistake.lesson),
            checked_by=mistake.checked_by,
            answer=_wrapped(f"*Answers, in the order of the questions:* {mistake.answer}"),
        )
        for mistake in MISTAKES.values()
    )
    return _ANSWERS.format(sections="\n".join(sections))


def pages() -> Iterator[tuple[str, str]]:
    """(file name, text) of every page that this program writes."""
    for mistake in MISTAKES.values():
        yield f"{mistake.name}.md", page(mistake)
    yield ANSWERS, answers()


def write(folder: Path) -> None:
    """Write all pages into `folder`."""
    for name, text in pages():
        with atomic_write(folder / name) as file:
            file.write(text.encode())


if __name__ == "__main__":
    write(Path(sys.argv[1]))
