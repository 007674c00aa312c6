"""`au-d3dface demo --mcp`: a language model's program finds the tools, names a video, and gets its action units."""

import asyncio
import re
import sys
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest

pytest.importorskip("gradio", reason="gradio is not installed")

from au_d3dface.cli import main
from au_d3dface.demo.server import serving


def test_without_the_extra_it_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "mcp", None)
    assert main(["demo", "--mcp"]) == 7
    assert "pip install 'au-d3dface[mcp]'" in capsys.readouterr().err


@pytest.mark.slow
def test_a_video_on_this_computer(clip: Path) -> None:
    pytest.importorskip("mcp", reason="the extra mcp is not installed")

    async def called(address: str) -> None:
        from mcp import ClientSession
        from mcp.client.streamable_http import streamablehttp_client

        async with streamablehttp_client(address) as (read, write, _), ClientSession(read, write) as session:
            await session.initialize()
            tools = {tool.name: tool for tool in (await session.list_tools()).tools}
            assert set(tools) == {"reconstruct_video", "reconstruct_file"}
            assert "facial action units" in tools["reconstruct_file"].description
            said = await _told(session, "reconstruct_file", path=str(clip))
            assert "'unit': 'AU01', 'name': 'inner brow raiser'" in said
            link = re.search(r"http://[^']+\.zip", said)
            assert link, said
            with zipfile.ZipFile(BytesIO(httpx.get(link[0]).content)) as archive:
                assert "action_units.csv" in archive.namelist()
            missing = await _told(session, "reconstruct_file", wrong=True, path="/nowhere.mp4")
            assert missing == "/nowhere.mp4 is not a file on this computer; give its full path"
            # A server that fetches what others name must not be a way into this machine's network.
            await _told(session, "reconstruct_video", wrong=True, video=f"{address}clip.mp4")

    with serving(mcp=True) as address:
        asyncio.run(called(f"{address}gradio_api/mcp/"))


async def _told(session: Any, tool: str, wrong: bool = False, **arguments: str) -> str:
    result = await session.call_tool(tool, arguments)
    assert result.isError == wrong, result
    return result.content[0].text
