"""Reading LaTeX tables back, and checking on the way that they are whole; compiling them, where LaTeX is installed."""

import re
import shutil
import subprocess
import warnings
from pathlib import Path

_NARROWER = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"


def table_rows(table: str) -> list[list[str]]:
    """The cells of every line of the tabular, its structure checked on the way; a \\multicolumn is one cell."""
    lines = table.splitlines()
    opened: list[str] = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", table):
        if kind == "begin":
            opened.append(name)
        else:
            assert opened.pop() == name
    assert not opened
    assert table.count(_NARROWER) == 1
    bare = re.sub(r"\\[\\{}&%$#_]", "", table.replace(_NARROWER, "{"))  # without what is escaped
    bare = re.sub(r"(?m)^%.*$", "", bare)
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0
    assert not re.search(r"[#_^~<>|%]", bare)
    start = next(n for n, line in enumerate(lines) if line.startswith(r"\begin{tabular}"))
    columns = len(re.fullmatch(r"\\begin\{tabular\}\{(l[lr]*)\}", lines[start])[1])
    rules = {r"\toprule", r"\midrule", r"\bottomrule"}
    rows = []
    for line in lines[start + 1 : lines.index(r"\end{tabular}}")]:
        if line in rules:
            continue
        assert line.endswith(r" \\")
        assert not line.startswith(("[", "*"))  # the \\ above it would take that for its own
        cells = re.split(r"(?<!\\)&", line.removesuffix(r" \\"))
        if line.startswith(r"\multicolumn"):
            assert line.startswith(rf"\multicolumn{{{columns}}}")
        else:
            assert len(cells) == columns
        rows.append([cell.strip() for cell in cells])
    return rows


def check_compiles(tables: Path) -> None:
    """pdfLaTeX makes a page of the file's tables, none wider than the text; warns where there is no pdfLaTeX."""
    if not (pdflatex := shutil.which("pdflatex")):
        warnings.warn(f"pdflatex is not installed, so {tables.name} was not compiled", stacklevel=2)
        return
    document = tables.with_name(f"{tables.stem}-document.tex")
    document.write_text(
        "\\documentclass{article}\n\\usepackage{booktabs,graphicx}\n\\begin{document}\n"
        f"\\input{{{tables.name}}}\n\\end{{document}}\n"
    )
    command = [pdflatex, "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", document.name]
    done = subprocess.run(command, cwd=tables.parent, capture_output=True, text=True, errors="replace", timeout=120)
    assert done.returncode == 0, done.stdout
    assert "Overfull" not in done.stdout, done.stdout
    assert document.with_suffix(".pdf").stat().st_size > 1000
