r"""Tables for papers: booktabs LaTeX, the measured rows first, their best in bold, the paper's rows apart below them.

It needs `\usepackage{booktabs,graphicx}` and no other package; a table wider than the text is made narrower.
"""

import re
from collections.abc import Collection, Sequence

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "–": "--",
    "—": "---",
    "×": r"$\times$",
    "±": r"$\pm$",
    "†": r"$\dagger$",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")


def latex_table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    caption: str,
    *,
    reference_rows: Sequence[Sequence[str]] = (),
    paper_rows: Sequence[Sequence[str]] = (),
    best: str | Sequence[str | None] | None = "highest",
    label: str | None = None,
) -> str:
    r"""A `table` with a `tabular` of as many columns as the header has, words to the left, numbers to the right.

    All text is escaped, so cells and captions are plain text, not LaTeX.

    Args:
        header: C names. rows: measured, C cells each, as `reports.cell` writes them.
        caption: what the table shows, and how it was measured.
        reference_rows: what the measured ones stand beside (always positive), not compared with them.
        paper_rows: the paper's, under a line that says so.
        best: "highest" or "lowest" prints the best measured cell of each column in bold, where two rows or more have
            one; None none. A sequence of C says it for each column.
        label: for \ref, such as `tab:bp4d`.

    Raises:
        ValueError: a row of another length, or `best` of another length or with another word.
    """
    columns = len(header)
    everything = [*rows, *reference_rows, *paper_rows]
    for row in everything:
        if len(row) != columns:
            raise ValueError(f"the row {list(row)} has {len(row)} cells, but the header {columns}")
    wanted = [None, *(columns - 1) * [best]] if best is None or isinstance(best, str) else list(best)
    if len(wanted) != columns or not {*wanted} <= {None, "highest", "lowest"}:
        raise ValueError(f"best must be 'highest', 'lowest' or None, or {columns} of them, not {best!r}")
    bold = _best_cells(rows, wanted)
    sides = "".join("l" if k == 0 or any(row[k][:1].isalpha() for row in everything) else "r" for k in range(columns))
    lines = [
        "% needs \\usepackage{booktabs,graphicx}",
        r"\begin{table}",
        r"\centering",
        r"\setlength{\belowcaptionskip}{4pt}",
        rf"\caption{{{escape(caption)}}}",
        *([] if label is None else [rf"\label{{{label}}}"]),
        r"\footnotesize",
        r"\setlength{\tabcolsep}{3pt}",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{{sides}}}",
        r"\toprule",
        _line(header),
        r"\midrule",
        *(_line(row, {k for k in range(columns) if (number, k) in bold}) for number, row in enumerate(rows)),
    ]
    if reference_rows:
        lines += [r"\midrule", *(_line(row) for row in reference_rows)]
    if paper_rows:
        title = rf"\multicolumn{{{columns}}}{{l}}{{\emph{{as printed in the paper, not measured here}}}} \\"
        lines += [r"\midrule", title, *(_line(row) for row in paper_rows)]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}}", r"\end{table}"]) + "\n"


def escape(text: str) -> str:
    """Plain text as LaTeX that prints it, in one line.

    Letters beyond Latin are left as they are: XeLaTeX and LuaLaTeX print them, pdfLaTeX with the packages for them.
    """
    words = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return "".join(_ESCAPES.get(character, character) for character in words)


def _line(row: Sequence[str], bold: Collection[int] = ()) -> str:
    cells = [escape(text) for text in row]
    cells = [rf"\textbf{{{text}}}" if k in bold else text for k, text in enumerate(cells)]
    if cells[0].startswith(("*", "[")):  # which the \\ of the line before would take for its own
        cells[0] = f"{{{cells[0][0]}}}{cells[0][1:]}"
    return " & ".join(cells) + r" \\"


def _best_cells(rows: Sequence[Sequence[str]], wanted: Sequence[str | None]) -> set[tuple[int, int]]:
    """Rows and columns of the best cells, equals all; a cell counts as the number that it begins with, if any."""
    found: set[tuple[int, int]] = set()
    for k, kind in enumerate(wanted):
        values = {n: float(match[0]) for n, row in enumerate(rows) if (match := _NUMBER.match(row[k]))}
        if kind is not None and len(values) > 1:
            best = max(values.values()) if kind == "highest" else min(values.values())
            found |= {(n, k) for n, value in values.items() if value == best}
    return found
