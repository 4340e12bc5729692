"""Write minires/data/imagenet_classes.txt, the 1,000 ImageNet classes in index order.

    pip download --no-deps --dest wheels torchvision==0.28.0 timm==1.0.31
    python scripts/make_imagenet_classes.py wheels/torchvision-*.whl wheels/timm-*.whl

The names are those of torchvision's `models/_meta.py` (BSD-3-Clause), the WordNet ids those of timm's
`data/_info/imagenet_synsets.txt` (Apache-2.0). Neither package is installed or imported: the wheels are read as zips.
"""

from __future__ import annotations

import ast
import sys
import zipfile
from pathlib import Path

TARGET = Path(__file__).parent.parent / "minires" / "data" / "imagenet_classes.txt"
HEADER = """\
# The 1,000 classes of ImageNet (ILSVRC 2012), in the index order of the published networks: WordNet id, tab, name.
# Names: {names}, models/_meta.py, BSD-3-Clause. Ids: {ids}, data/_info/imagenet_synsets.txt, Apache-2.0.
# Licences: imagenet_classes.NOTICE.txt. Made by scripts/make_imagenet_classes.py; do not edit.
"""


def names_in(wheel: Path) -> list[str]:
    """The list literal `_IMAGENET_CATEGORIES` of torchvision's source."""
    with zipfile.ZipFile(wheel) as archive:
        module = ast.parse(archive.read("torchvision/models/_meta.py"))
    for statement in module.body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "_IMAGENET_CATEGORIES":
            return list(ast.literal_eval(statement.value))
    raise SystemExit(f"{wheel}: no _IMAGENET_CATEGORIES in torchvision/models/_meta.py")


def ids_in(wheel: Path) -> list[str]:
    """The WordNet ids, in index order."""
    with zipfile.ZipFile(wheel) as archive:
        return archive.read("timm/data/_info/imagenet_synsets.txt").decode().split()


def main() -> None:
    """Make the file anew."""
    torchvision, timm = (Path(argument) for argument in sys.argv[1:])
    names, ids = names_in(torchvision), ids_in(timm)
    # The networks' index order is the alphabetical order of the ids; both lists must be complete and free of doubles.
    if len(set(names)) != 1000 or len(ids) != 1000 or ids != sorted(set(ids)):
        raise SystemExit("expected 1,000 different names and 1,000 sorted ids")
    header = HEADER.format(names="-".join(torchvision.name.split("-")[:2]), ids="-".join(timm.name.split("-")[:2]))
    rows = "".join(f"{wordnet_id}\t{name}\n" for wordnet_id, name in zip(ids, names, strict=True))
    TARGET.write_text(header + rows, encoding="utf-8")


if __name__ == "__main__":
    main()
