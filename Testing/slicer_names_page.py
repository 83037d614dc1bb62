"""The page of the Slicer, ctk and qMRML names that the module uses: ``python -m Testing.slicer_names_page``."""

from __future__ import annotations

from pathlib import Path

from Testing.host.api_check import Verdict, check_against, module_files, names_used, table

REPOSITORY = Path(__file__).resolve().parent.parent
PAGE = REPOSITORY / "Resources" / "SlicerNames.md"
_MODULE = REPOSITORY / "GliomaGrading"
_HEAD = """# Slicer, ctk and qMRML names that the module uses

Made by `python -m Testing.slicer_names_page`. None of them is new in Slicer 5.12, so that nothing has to differ
for 5.10.

"""


def verdicts() -> list[Verdict]:
    """Of every name that the module's own code and its forms use."""
    library = _MODULE / "GliomaGradingLib"
    places = (_MODULE / "GliomaGrading.py", _MODULE / "Resources" / "UI", library / "panel", library / "scene")
    files = [file for place in places for file in module_files(place)]
    of_kind = [[file for file in files if file.suffix == suffix] for suffix in (".py", ".ui")]
    return check_against(names_used(*of_kind))


def page() -> str:
    """The page; where slicer-core and PySide6 are installed, MRML's and Qt's own names have been looked up."""
    return f"{_HEAD}{table(verdicts())}\n"


def main() -> None:
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)


if __name__ == "__main__":
    main()
