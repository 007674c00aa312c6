"""Tables for papers: what comes out is whole LaTeX whatever the text is, and only measured numbers are bold."""

import numpy as np
import pytest
from latex_tables import check_compiles, table_rows

from au_d3dface.evaluation.bar_plot import Bars, bar_plot
from au_d3dface.evaluation.latex import escape, latex_table
from au_d3dface.evaluation.reports import write_report

HEADER = ["method", "AU01", "average"]


def test_the_best_measured_is_bold_and_the_papers_never_is():
    table = latex_table(
        HEADER,
        [["mine", "51.0", "60.1"], ["yours", "51.0", "–"], ["hers", "9.9", "60.3 (58.0-61.2)"]],
        "F1",
        reference_rows=[["always positive", "99.0", "99.0"]],
        paper_rows=[["*temporal", "54.5", "66.0"], ["[no] name", "–", "–"]],
        label="tab:x",
    )
    rows = table_rows(table)
    assert rows == [
        HEADER,
        ["mine", r"\textbf{51.0}", "60.1"],
        ["yours", r"\textbf{51.0}", "--"],
        ["hers", "9.9", r"\textbf{60.3 (58.0-61.2)}"],
        ["always positive", "99.0", "99.0"],
        [r"\multicolumn{3}{l}{\emph{as printed in the paper, not measured here}}"],
        ["{*}temporal", "54.5", "66.0"],
        ["{[}no] name", "--", "--"],
    ]
    assert r"\label{tab:x}" in table


def test_best_by_column_lowest_and_none():
    rows = [["a", "1.50", "3"], ["b", "-2.25", "4"]]
    assert r"\textbf{-2.25}" in latex_table(HEADER, rows, "x", best="lowest")
    mixed = table_rows(latex_table(HEADER, rows, "x", best=[None, "lowest", "highest"]))
    assert mixed[1:] == [["a", "1.50", "3"], ["b", r"\textbf{-2.25}", r"\textbf{4}"]]
    assert "textbf" not in latex_table(HEADER, rows, "x", best=None)
    assert "textbf" not in latex_table(HEADER, rows[:1], "x")  # nothing to be better than
    with pytest.raises(ValueError, match="best must be"):
        latex_table(HEADER, rows, "x", best="most")
    with pytest.raises(ValueError, match="has 2 cells, but the header 3"):
        latex_table(HEADER, [["a", "1"]], "x")


def test_any_text_is_printed_not_run(tmp_path):
    hostile = "\\input{/etc/passwd} 100% of $x_1$ & {more} #2 ~^ <a|b>\n\n\\end{tabular}"
    table = latex_table(["method", "AU_1"], [[hostile, "1"], ["Müller & Söhne", "2"]], hostile, paper_rows=[["a", "–"]])
    assert len(table_rows(table)) == 5
    assert r"\input" not in table
    assert table.count(r"\end{tabular}") == 1
    assert r"100\% of \$x\_1\$ \& \{more\} \#2" in table
    (tmp_path / "hostile.tex").write_text(table)
    check_compiles(tmp_path / "hostile.tex")
    assert escape("a\tb\x00c\r\nd") == "a b c d"


def test_all_four_files_are_written_or_none(tmp_path):
    figure = bar_plot(
        ["AU01", "average"],
        [
            Bars("mine", np.array([51.0, np.nan]), low=np.array([40.0, np.nan]), high=np.array([60.0, np.nan])),
            Bars("spatial", np.array([56.8, 63.4]), paper=True),
        ],
        "F1, %",
        "made up",
        floor=np.array([30.0, 40.0]),
    )
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["mine", "paper: spatial", "always positive"]
    paths = write_report(tmp_path / "out", "t", "text", {"a": 1}, latex_table(["a"], [["b"]], "c"), figure)
    assert [path.name for path in paths] == ["t.json", "t.md", "t.png", "t.tex"]
    assert (tmp_path / "out/t.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_report(tmp_path / "other", "t", "text", {"a": np.nan}, "x", figure)
    assert not (tmp_path / "other").exists()
