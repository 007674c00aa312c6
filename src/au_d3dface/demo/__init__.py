"""The page: a video in the browser in; the moving face, its action units and every export out.

`app` builds the page and `server` serves it; `pipelines` holds the networks, `jobs` runs one video in a thread that can
be cancelled, `live` shows results while frames are still being tracked, `scene` packs what the player draws, `visits`
keeps each visitor's files apart and deletes them, `limits` refuses what is too long or too large. `player*.js`, `.css`
and `.html` are the player: the face in WebGL, the video and the timeline, moving together, with no library and nothing
fetched from elsewhere.

Nothing heavy is imported here: `command` is part of the command line, and gradio is an extra.
"""
