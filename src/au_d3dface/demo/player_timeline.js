// The action units over time on a canvas: a lane each, the height its probability, strong where it is active.

class Timeline {
  // `seek(seconds)` moves everything; `choose(unit)` is called with the row of a name that was clicked.
  constructor(canvas, seek, choose) {
    Object.assign(this, {canvas, seek, choose, scene: null, person: null, unit: -1, now: 0});
    this.from = 0; this.to = 1; this.end = 1;
    this.hands();
    new ResizeObserver(() => this.paint()).observe(canvas);
  }

  show(scene, person) {
    const whole = this.from === 0 && this.to === this.end;
    this.scene = scene; this.person = person;
    this.end = Math.max(scene.times[scene.times.length - 1], 0.1);
    if (whole || this.to > this.end) { this.from = 0; this.to = this.end; }
    this.paint();
  }

  get gutter() { return this.canvas.clientWidth < 560 ? 52 : 190; }
  get lane() { return 19; }
  get axis() { return 24; }
  x(seconds) { return this.gutter + (seconds - this.from) / (this.to - this.from) * this.room; }
  get room() { return this.canvas.clientWidth - this.gutter - 8; }
  seconds(x) { return Math.max(0, Math.min(this.end, this.from + (x - this.gutter) / this.room * (this.to - this.from))); }

  // Shows `factor` times as much time, with the moment at `x` where it is.
  zoom(factor, x) {
    if (!this.scene) return;
    const at = this.seconds(x ?? this.x(this.now)), span = this.to - this.from;
    const wanted = Math.max(Math.min(0.2, this.end), Math.min(this.end, span * factor));
    this.from = at - (at - this.from) * wanted / span; this.to = this.from + wanted;
    this.pan(0);
  }

  pan(seconds) {
    const span = this.to - this.from;
    this.from = Math.max(0, Math.min(this.end - span, this.from + seconds)); this.to = this.from + span;
    this.paint();
  }

  all() { this.from = 0; this.to = this.end; this.paint(); }

  at(seconds) {
    this.now = seconds;
    const span = this.to - this.from;
    if (span < this.end - 1e-6 && !this.held && (seconds < this.from || seconds > this.to)) {
      this.from = Math.max(0, Math.min(this.end - span, seconds - span * 0.1)); this.to = this.from + span;
    }
    this.paint();
  }

  paint() {
    if (!this.scene) return;
    const {canvas, scene, person} = this, units = scene.units.length, ratio = window.devicePixelRatio || 1;
    const width = canvas.clientWidth, height = units * this.lane + this.axis;
    if (!width) return;
    canvas.style.height = `${height}px`;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio); canvas.height = Math.round(height * ratio);
    }
    const pen = canvas.getContext("2d"), style = getComputedStyle(canvas);
    const ink = style.color, line = style.getPropertyValue("--line"), soft = style.getPropertyValue("--soft");
    this.strong = style.getPropertyValue("--strong"); this.quiet = style.getPropertyValue("--quiet");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.font = `12px ${style.fontFamily}`; pen.textBaseline = "middle";
    scene.units.forEach((unit, row) => {
      const top = row * this.lane, chosen = row === this.unit;
      pen.fillStyle = chosen ? this.strong : ink; pen.textAlign = "left";
      const text = this.gutter > 60 ? `${unit.label} ${unit.name}` : unit.label;
      pen.font = `${chosen ? "600 " : ""}12px ${style.fontFamily}`;
      pen.fillText(text, 0, top + this.lane / 2, this.gutter - 8);
    });
    pen.save(); pen.beginPath(); pen.rect(this.gutter, 0, this.room, height); pen.clip();
    scene.units.forEach((unit, row) => this.curve(pen, row, units, line));
    pen.restore();
    this.ticks(pen, units * this.lane, soft, line);
    const x = this.x(this.now);
    if (x >= this.gutter - 1 && x <= width) {
      pen.strokeStyle = "#d2452f"; pen.lineWidth = 1.5; pen.beginPath(); pen.moveTo(x, 0);
      pen.lineTo(x, units * this.lane + 4); pen.stroke();
    }
  }

  curve(pen, row, units, line) {
    const {scene, person} = this, base = (row + 1) * this.lane - 2, tall = this.lane - 4;
    pen.strokeStyle = line; pen.lineWidth = 1; pen.beginPath(); pen.moveTo(this.gutter, base + .5);
    pen.lineTo(this.gutter + this.room, base + .5); pen.stroke();
    const half = scene.times.length > 1 ? (scene.times[1] - scene.times[0]) / 2 : 0.05;
    for (let i = 0; i < scene.times.length; i++) {
      if (!person.valid[i]) continue;
      const next = i + 1 < scene.times.length ? scene.times[i + 1] : scene.times[i] + 2 * half;
      if (next < this.from || scene.times[i] > this.to) continue;
      const p = person.probabilities[i * units + row] / 255, x = Math.round(this.x(scene.times[i]));
      pen.fillStyle = person.active[i * units + row] ? this.strong : this.quiet;
      pen.fillRect(x, base - p * tall, Math.max(Math.round(this.x(next)) - x, 1), p * tall);
    }
  }

  ticks(pen, top, soft, line) {
    const span = this.to - this.from, wanted = Math.max(2, this.room / 80);
    const step = [0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60].find((s) => span / s <= wanted) || 120;
    pen.fillStyle = soft; pen.strokeStyle = line; pen.textAlign = "center";
    pen.font = `11px ${getComputedStyle(this.canvas).fontFamily}`;
    for (let k = Math.ceil(this.from / step - 1e-6); k * step <= this.to + 1e-6; k++) {
      const x = this.x(k * step);
      pen.beginPath(); pen.moveTo(x, top); pen.lineTo(x, top + 5); pen.stroke();
      pen.fillText(`${+(k * step).toFixed(2)} s`, Math.min(x, this.gutter + this.room - 8), top + 14);
    }
  }

  hands() {
    const canvas = this.canvas, fingers = new Map();
    const place = (event) => { const box = canvas.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
    canvas.addEventListener("pointerdown", (event) => {
      if (!this.scene) return;
      const [x, y] = place(event), row = Math.floor(y / this.lane);
      if (x < this.gutter) { if (row < this.scene.units.length) this.choose(row === this.unit ? -1 : row); return; }
      fingers.set(event.pointerId, x); canvas.setPointerCapture(event.pointerId);
      this.held = row >= this.scene.units.length ? "axis" : "time";
      if (this.held === "time" && fingers.size === 1) this.seek(this.seconds(x));
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!fingers.has(event.pointerId)) return;
      const [x] = place(event), last = fingers.get(event.pointerId);
      const apart = fingers.size === 2 ? Math.abs([...fingers.values()].reduce((a, b) => a - b)) : 0;
      fingers.set(event.pointerId, x);
      if (fingers.size === 2) {
        const [a, b] = [...fingers.values()];
        this.zoom(Math.max(apart, 10) / Math.max(Math.abs(a - b), 10), (a + b) / 2);
      } else if (this.held === "axis") this.pan((last - x) / this.room * (this.to - this.from));
      else this.seek(this.seconds(x));
    });
    for (const name of ["pointerup", "pointercancel"])
      canvas.addEventListener(name, (event) => { fingers.delete(event.pointerId); if (!fingers.size) this.held = null; });
    canvas.addEventListener("wheel", (event) => {
      const across = Math.abs(event.deltaX) > Math.abs(event.deltaY);
      if (!this.scene || !(event.ctrlKey || event.metaKey || (across && this.to - this.from < this.end))) return;
      event.preventDefault();
      if (across) this.pan(event.deltaX / this.room * (this.to - this.from));
      else this.zoom(Math.exp(event.deltaY / 300), place(event)[0]);
    }, {passive: false});
  }
}
