"""Folders of visitors: apart, unguessable, and deleted."""

import time

import pytest

from au_d3dface.demo.visits import Visits, link_or_copy


class Work:
    cancelled = False

    def cancel(self) -> None:
        self.cancelled = True

    def join(self, timeout: float | None = None) -> bool:
        return True


@pytest.fixture
def visits(tmp_path):
    made = Visits(keep_seconds=1000, root=tmp_path / "root")
    yield made
    made.close()


def test_each_visitor_has_a_folder_that_goes_when_they_leave(visits):
    mine, yours = visits.new_folder("me"), visits.new_folder("you")
    for folder in (mine, yours):
        (folder / "video.mp4").write_bytes(b"1")
    assert mine.parent != yours.parent
    assert "me" not in mine.parts
    work = Work()
    visits.begin("me", work)
    visits.leave("me")
    assert work.cancelled
    assert not mine.parent.exists()
    assert (yours / "video.mp4").exists()


def test_a_new_video_deletes_the_one_before_and_cancels_it(visits):
    first = visits.new_folder("me")
    before, after = Work(), Work()
    visits.begin("me", before)
    second = visits.new_folder("me")
    visits.begin("me", after)
    assert not first.exists()
    assert second.exists()
    assert (before.cancelled, after.cancelled) == (True, False)


def test_cancelling_says_whether_there_was_anything(visits):
    assert not visits.cancel("nobody")
    visits.new_folder("me")
    work = Work()
    visits.begin("me", work)
    assert visits.cancel("me")
    visits.end("me", work)
    assert not visits.cancel("me")


def test_an_upload_goes_when_no_page_shows_it(visits):
    upload, other = visits.uploads / "hash" / "face.mp4", visits.uploads / "other" / "face.mp4"
    for path in (upload, other):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"film")
    visits.show("me", upload)
    visits.show("you", upload)
    visits.show("me", other)
    assert upload.exists()  # yours
    visits.leave("you")
    assert not upload.parent.exists()
    visits.show("me", None)
    assert not other.exists()


def test_no_other_file_is_ever_deleted(visits, tmp_path):
    mine = tmp_path / "mine.mp4"
    mine.write_bytes(b"film")
    visits.show("me", mine)
    visits.show("me", visits.uploads / ".." / ".." / "mine.mp4")
    visits.leave("me")
    assert mine.exists()


def test_uploads_of_nobody_go_in_time(tmp_path):
    """Those of programs, and what came in half. Nothing is ever older than it says."""
    visits = Visits(keep_seconds=2, root=tmp_path / "root")
    orphan, shown = visits.uploads / "a" / "one.mp4", visits.uploads / "b" / "two.mp4"
    for path in (orphan, shown):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"film")
    visits.show("me", shown)
    work = Work()
    visits.begin("me", work)
    began = time.monotonic()
    while orphan.exists() and time.monotonic() < began + 20:
        time.sleep(0.02)
    assert time.monotonic() - began > 1
    assert not orphan.parent.exists()
    time.sleep(0.6)
    assert shown.exists()  # is being computed
    visits.end("me", work)
    began = time.monotonic()
    while shown.exists() and time.monotonic() < began + 20:
        time.sleep(0.02)
    assert 1 < time.monotonic() - began < 4
    visits.close()


def test_what_was_never_closed_goes_after_a_while_but_not_while_it_is_computed(tmp_path):
    visits = Visits(keep_seconds=0.2, root=tmp_path / "root")
    folder, work = visits.new_folder("me"), Work()
    visits.begin("me", work)
    time.sleep(0.6)
    assert folder.exists()
    visits.end("me", work)
    deadline = time.monotonic() + 10
    while folder.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not folder.exists()
    visits.close()
    assert not (tmp_path / "root").exists()


def test_a_visitors_copy_outlives_the_upload(tmp_path, visits):
    upload = tmp_path / "face.mp4"
    upload.write_bytes(b"film")
    own = link_or_copy(upload, visits.new_folder("me"))
    upload.unlink()
    assert (own.name, own.read_bytes()) == ("face.mp4", b"film")


def test_closing_waits_for_what_is_still_writing(tmp_path):
    """A cancelled job may make its folder anew before it notices."""
    visits = Visits(keep_seconds=1000, root=tmp_path / "root")
    folder = visits.new_folder("me")

    class Late(Work):
        def join(self, timeout: float | None = None) -> bool:
            folder.mkdir(parents=True)
            (folder / "late.bin").write_bytes(b"1")
            return True

    visits.begin("me", Late())
    visits.close()
    assert not (tmp_path / "root").exists()
