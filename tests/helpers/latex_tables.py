"""Reading LaTeX tables back, and checking on the way that they are whole."""

import re


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
    bare = re.sub(r"\\[\\{}&%$#_]", "", table)  # without what is escaped
    bare = re.sub(r"(?m)^%.*$", "", bare)
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0
    assert not re.search(r"[#_^~<>|%]", bare)
    start = next(n for n, line in enumerate(lines) if line.startswith(r"\begin{tabular}"))
    columns = len(re.fullmatch(r"\\begin\{tabular\}\{(lr*)\}", lines[start])[1])
    rules = {r"\toprule", r"\midrule", r"\bottomrule"}
    rows = []
    for line in lines[start + 1 : lines.index(r"\end{tabular}")]:
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
