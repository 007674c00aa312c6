// The player: one clock for video, face and timeline. gradio calls this with `element`, `props` and `watch`.

const find = (what) => element.querySelector(what);
const video = find("video"), face = new FaceView(find("canvas.face"));
const timeline = new Timeline(find(".timeline"), seek, choose);
let state = null, scene = null, person = null, unit = -1, now = 0, playing = false, painted = 0;
const INSIDE = 1e-3;  // seconds past the beginning of a frame, or rounding would show the one before
let chunks = 0, source = "video", playable = true, pending = null;

const address = (path) => `${(window.gradio_config?.root || "").replace(/\/$/, "")}/gradio_api/file=` +
  path.split("/").map(encodeURIComponent).join("/");
const text = (tag, words, kind) => { const made = document.createElement(tag); made.textContent = words;
  if (kind) made.className = kind; return made; };

// ---- results ----

async function receive(next) {
  const fresh = !state || next.job !== state.job;
  state = next;
  if (fresh) startAnew();
  if (!next.job) return;
  stages();
  find(".notes").hidden = !next.warnings.length;
  find(".notes").textContent = next.warnings.join(" ");
  if (next.scene && scene?.path !== next.scene) await load(next.scene, next.job);
  else while (!next.scene && chunks < next.live.length && state.job === next.job) await load(next.live[chunks++], next.job, true);
  if (next.overlay) {
    const button = find('[data-video="overlay"]');
    button.disabled = false;
    if (!playable) { show("overlay"); play(); }
  }
  if (next.downloads.length && find(".files").hidden) files();
}

function startAnew() {
  scene = person = null; chunks = 0; now = 0; unit = -1; playable = true; pause();
  const idle = !state.job;
  find(".empty").hidden = !idle; find(".work").hidden = idle;
  find(".events").hidden = find(".files").hidden = true;
  find(".now").replaceChildren(); find(".now").style.minHeight = ""; find(".person").hidden = true;
  find('[data-video="overlay"]').disabled = true;
  face.person = null; face.front(); face.paint();
  timeline.scene = null; timeline.unit = -1; timeline.from = 0; timeline.to = timeline.end = 1;
  const lanes = find(".timeline"); lanes.getContext("2d").clearRect(0, 0, lanes.width, lanes.height);
  if (idle) { video.removeAttribute("src"); video.load(); return; }
  show("video");
  if (element.getBoundingClientRect().top > innerHeight * 0.6) element.scrollIntoView({behavior: "smooth"});  // phones
  if (!face.gl) find(".live").textContent = "This browser has no WebGL; everything but the 3D face works";
  find(".live").hidden = !!face.gl;
}

async function load(path, job, live = false) {
  const answer = await fetch(address(path));
  if (!answer.ok || state.job !== job) return;  // deleted meanwhile, or another video was begun
  const read = unpack(await answer.arrayBuffer());
  if (state.job !== job || (live && state.scene)) return;
  scene = live ? joined(scene, read) : read;
  scene.path = path;
  find(".live").hidden = !live && !!face.gl;
  if (live && face.gl) find(".live").textContent = "first result, improving";
  people(live);
  if (live) seek(scene.times[scene.times.length - 1]);
  else { seek(0); if (playable) play(); }
  element.dataset.result = live ? "first" : "whole";
}

function people(live) {
  const chooser = find(".person"), before = Number(chooser.value) || 0;
  chooser.replaceChildren(...scene.people.map((one, number) => { const option = text("option", called(one));
    option.value = number; return option; }));
  chooser.hidden = scene.people.length < 2;
  chooser.value = Math.min(before, scene.people.length - 1);
  const colour = find(".colour"), chosen = unit;
  if (colour.options.length !== scene.units.length + 1) {
    colour.replaceChildren(text("option", "the whole face"), ...scene.units.map((one) =>
      text("option", `${one.label} ${one.name}: ${one.region}`)));
    [...colour.options].forEach((option, number) => { option.value = number - 1; });
  }
  colour.value = chosen;
  ramp();
  pick(live);
}

// As the overlay, the table and the files name it; and where, as nobody knows faces by their numbers.
function called(one) {
  const side = one.across === undefined ? "" : one.across < 0.4 ? " (left)" : one.across > 0.6 ? " (right)" : " (middle)";
  return `face ${one.face_id}${side}`;
}

function pick(live = false) {
  person = scene.people[Number(find(".person").value) || 0];
  face.show(scene, person);
  timeline.show(scene, person);
  find(".seek").max = timeline.end;
  if (!live) events();
  draw();
}

function ramp() {
  const canvas = find(".ramp"), pen = canvas.getContext("2d");
  scene.colours.forEach((colour, x) => { pen.fillStyle = `rgb(${colour.map((part) => Math.round(255 * part))})`;
    pen.fillRect(x * canvas.width / scene.colours.length, 0, 2, 1); });
  find(".most").textContent = `${Math.round(1000 * scene.hot)} mm`;
}

function stages() {
  const steps = [["tracking", "following the face"], ["network", "3D face and action units"],
    ["files", "files"], ["done", "done"]];
  const place = {waiting: -1, loading: -1, tracking: 0, fitting: 1, pictures: 1, network: 1, appearance: 1, done: 3};
  const at = place[state.stage] ?? 2;
  find(".stages").replaceChildren(...steps.map(([, words], step) => {
    const share = state.total ? ` ${Math.floor(100 * state.done / state.total)} %` : "";
    // Each file begins at 0 % anew: its name is told too.
    const which = step === 2 && state.stage !== "files" ? `: ${state.words[0].toLowerCase()}${state.words.slice(1)}` : "";
    const part = step === at && at < 3 ? which + share : "";
    return text("li", `${step < at || at === 3 ? "✓" : step === at ? "▸" : "·"} ${words}${part}`, step === at && at < 3 ? "now-stage" : "");
  }));
  const s = state.seconds;
  if (s.all) find(".stages").append(text("li", `first result after ${s.first.toFixed(1)} s, whole clip ${s.whole.toFixed(1)} s, all files ${s.all.toFixed(1)} s`));
  element.dataset.stage = state.stage;
}

function events() {
  const rows = person.events.map((event) => {
    const row = document.createElement("tr");
    row.tabIndex = 0;
    const cells = [event.unit, event.name, event.muscle, `${event.onset.toFixed(2)} s`, `${event.apex.toFixed(2)} s`,
      `${event.offset.toFixed(2)} s`, `${Math.round(100 * event.peak)} %`];
    row.replaceChildren(...cells.map((words) => text("td", words)));
    const go = () => { pause(); find(".views").scrollIntoView({block: "nearest", behavior: "smooth"}); choose(scene.units.findIndex((one) => one.label === event.unit)); seek(event.apex); };
    row.addEventListener("click", go);
    row.addEventListener("keydown", (press) => { if (press.key === "Enter" || press.key === " ") { go(); press.preventDefault(); } });
    return row;
  });
  const count = rows.length === 1 ? "1 activation" : `${rows.length} activations`;
  find(".events .title").textContent = `What happened: ${count}${scene.people.length > 1 ? ` of ${called(person)}` : ""}`;
  find(".events .hint").hidden = !rows.length;
  if (!rows.length) { const row = document.createElement("tr"), cell = text("td", "No action unit was active.");
    cell.colSpan = 7; row.append(cell); rows.push(row); }
  find(".events tbody").replaceChildren(...rows);
  find(".events").hidden = false;
}

function files() {
  const size = (bytes) => bytes < 1e6 ? `${Math.max(1, Math.round(bytes / 1e3))} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
  find(".files ul").replaceChildren(...state.downloads.map((file) => {
    const item = document.createElement("li"), link = document.createElement("a");
    link.href = address(file.path); link.download = file.name.replaceAll("/", "_");
    link.append(text("b", file.name), ` ${size(file.bytes)}`, text("small", file.what));
    item.append(link);
    return item;
  }));
  find(".files").hidden = false;
}

// ---- time ----

function row(seconds) {  // the last frame that has begun
  let low = 0, high = scene.times.length - 1;
  while (low < high) { const middle = (low + high + 1) >> 1; if (scene.times[middle] <= seconds + 1e-3) low = middle; else high = middle - 1; }
  return low;
}

function draw() {
  if (!scene) return;
  const frame = row(now);
  face.pose(frame, unit, find(".pose").checked);
  timeline.at(now);
  find(".seek").value = now;
  find(".clock").textContent = `${now.toFixed(2)} / ${timeline.end.toFixed(2)} s`;
  if (painted !== frame || find(".now").childElementCount === 0) chips(frame);
  painted = frame;
  const lanes = find(".timeline");
  lanes.setAttribute("aria-valuemax", timeline.end.toFixed(2)); lanes.setAttribute("aria-valuenow", now.toFixed(2));
  lanes.setAttribute("aria-valuetext", `${now.toFixed(2)} seconds`);
  element.dataset.time = now.toFixed(3);
}

function chips(frame) {
  const units = scene.units.length;
  const active = scene.units.map((one, k) => [one, person.active[frame * units + k], person.probabilities[frame * units + k] / 255])
    .filter((one) => one[1] && person.valid[frame]).sort((a, b) => b[2] - a[2]);
  const made = active.map(([one, , p]) => { const chip = text("span", `${one.label} ${one.name} ${Math.round(100 * p)} %`);
    chip.title = `${one.muscle} · ${one.region}`; return chip; });
  const none = person.valid[frame] ? "No action unit is active in this frame." : "The face is not found in this frame.";
  const list = find(".now");
  list.replaceChildren(...(made.length ? made : [text("span", none, "none")]));
  // It grows and does not shrink: what is below would jump up and down while the video plays.
  list.style.minHeight = `${list.offsetHeight}px`;
}

function seek(seconds) {
  now = Math.max(0, Math.min(seconds, timeline.end));
  if (playable && video.readyState > 0) {
    if (video.seeking) pending = now + INSIDE; else video.currentTime = now + INSIDE;
  }
  draw();
}

function step(frames) {
  pause();
  seek(scene.times[Math.max(0, Math.min(scene.times.length - 1, row(now) + frames))]);
}

function choose(number) {
  unit = timeline.unit = number;
  find(".colour").value = number;
  draw();
}

function show(what) {
  source = what;
  find(".cannot").hidden = true;
  element.querySelectorAll("[data-video]").forEach((one) => one.setAttribute("aria-pressed", one.dataset.video === what));
  const resume = playing;
  video.src = address(state[what]);
  playable = true;
  video.addEventListener("loadedmetadata", () => {
    if (!video.videoWidth) { video.pause(); cannot(); return; }  // a phone's: it decodes the sound alone, and calls that no error
    video.currentTime = now; if (resume) play();
  }, {once: true});
}

function cannot() {
  playable = false;
  find(".cannot").textContent = "This browser cannot play this kind of video; the video with the mesh, which it can, comes with the files.";
  find(".cannot").hidden = false;
  if (source === "video" && state?.overlay) show("overlay");
}

function play() {
  playing = true;
  find(".play").textContent = "❚❚"; find(".play").setAttribute("aria-label", "Pause");
  if (now >= timeline.end - 0.02) seek(0);
  video.playbackRate = Number(find(".speed").value);
  if (playable) video.play().catch(() => pause());  // the browser may refuse until the page is touched
  let last = performance.now();
  const tick = (time) => {
    if (!playing) return;
    if (!playable) {  // a video that this browser cannot decode: the face and the timeline go on without it
      now += (time - last) / 1000 * Number(find(".speed").value);
      if (now > timeline.end) now = 0;
      draw();
    } else if (!video.requestVideoFrameCallback) { now = video.currentTime; draw(); }
    last = time;
    requestAnimationFrame(tick);
  };
  requestAnimationFrame(tick);
}

function pause() {
  playing = false; video.pause();
  find(".play").textContent = "▶"; find(".play").setAttribute("aria-label", "Play");
}

if (video.requestVideoFrameCallback) {  // tells which frame is on the screen
  const framed = (_, frame) => {
    if (scene && playable && playing && !timeline.held) { now = Math.min(frame.mediaTime, timeline.end); draw(); }
    video.requestVideoFrameCallback(framed);
  };
  video.requestVideoFrameCallback(framed);
}
video.addEventListener("seeked", () => { if (pending !== null) { video.currentTime = pending; pending = null; } });
video.addEventListener("ended", () => { if (playing) { seek(0); video.play().catch(pause); } });
video.addEventListener("error", () => { if (video.getAttribute("src")) cannot(); });

find(".pose").checked = true;  // gradio's template does not keep the attribute
find(".play").addEventListener("click", () => (playing ? pause() : play()));
find(".seek").addEventListener("input", (event) => { pause(); seek(Number(event.target.value)); });
find(".speed").addEventListener("change", () => { video.playbackRate = Number(find(".speed").value); });
find(".person").addEventListener("change", () => pick());
find(".colour").addEventListener("change", (event) => choose(Number(event.target.value)));
find(".pose").addEventListener("change", draw);
find(".front").addEventListener("click", () => face.front());
find(".less").addEventListener("click", () => timeline.zoom(1.6));
find(".more").addEventListener("click", () => timeline.zoom(1 / 1.6));
find(".all").addEventListener("click", () => timeline.all());
element.querySelectorAll("[data-video]").forEach((one) => one.addEventListener("click", () => show(one.dataset.video)));

const keys = {ArrowLeft: () => step(-1), ArrowRight: () => step(1), PageUp: () => step(10), PageDown: () => step(-10),
  Home: () => step(-1e9), End: () => step(1e9), "+": () => timeline.zoom(1 / 1.6), "-": () => timeline.zoom(1.6)};
for (const one of [find(".timeline"), find(".seek")]) one.addEventListener("keydown", (press) => {
  if (!scene || !keys[press.key] || press.ctrlKey || press.metaKey || press.altKey) return;
  press.preventDefault(); keys[press.key]();
});
find(".work").addEventListener("keydown", (press) => {  // not where space means something else
  if (press.key !== " " || !scene || press.target.closest("button, select, tr, a, [type=checkbox]")) return;
  press.preventDefault(); if (playing) pause(); else play();
});

addEventListener("resize", () => { find(".now").style.minHeight = ""; });  // a phone that was turned

let turn = Promise.resolve();  // one state after the other
watch("value", () => { const value = props.value; if (value) turn = turn.then(() => receive(JSON.parse(value))).catch(console.error); });
