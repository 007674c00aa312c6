// The face in WebGL: `unpack` reads what demo/scene.py packs, `FaceView` draws one frame of it and is turned by hand.

const ARRAYS = {float32: Float32Array, int32: Int32Array, uint32: Uint32Array, int16: Int16Array, uint8: Uint8Array};

function unpack(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const scene = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  scene.get = (name) => {
    const {type, shape, offset} = scene.arrays[name];
    return new ARRAYS[type](buffer, 4 + length + offset, shape.reduce((a, b) => a * b, 1));
  };
  scene.times = scene.get("times");
  scene.people.forEach((person, number) => {
    for (const name of ["rows", "valid", "vertices", "neutral", "faces", "masks", "rotation", "probabilities", "active"])
      person[name] = scene.get(`${number}.${name}`);
    person.points = person.neutral.length / 3;
  });
  return scene;
}

// The samples of a live scene after those of the ones before it. Each says where its own vertices begin.
function joined(before, scene) {
  if (!before) return scene;
  const a = before.people[0], b = scene.people[0];
  const together = (Kind, x, y) => { const all = new Kind(x.length + y.length); all.set(x); all.set(y, x.length); return all; };
  const requantised = Int16Array.from(a.vertices, (value) => Math.round(value * a.step / b.step));
  scene.times = together(Float32Array, before.times, scene.times);
  b.vertices = together(Int16Array, requantised, b.vertices);
  b.rows = Int32Array.from(scene.times, (_, row) => row);
  for (const name of ["valid", "probabilities", "active"]) b[name] = together(Uint8Array, a[name], b[name]);
  b.rotation = together(Float32Array, a.rotation, b.rotation);
  return scene;
}

const VERTEX = `
attribute vec3 position; attribute vec3 normal; attribute vec3 colour;
uniform mat4 camera; uniform mat3 turn; varying vec3 n; varying vec3 c;
void main() { n = turn * normal; c = colour; gl_Position = camera * vec4(position, 1.0); }`;
const FRAGMENT = `
precision mediump float; varying vec3 n; varying vec3 c;
void main() {
  vec3 m = normalize(n); float back = gl_FrontFacing ? 1.0 : 0.45;
  float key = max(dot(m, normalize(vec3(-0.35, 0.45, 0.82))), 0.0);
  float shade = 0.34 + 0.16 * m.y + 0.62 * key;
  gl_FragColor = vec4(c * shade * back, 1.0);
}`;

class FaceView {
  constructor(canvas) {
    this.canvas = canvas;
    this.person = null;
    this.front();
    this.gl = canvas.getContext("webgl", {antialias: true, preserveDrawingBuffer: true});
    if (!this.gl) return;
    this.start();
    canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
    canvas.addEventListener("webglcontextrestored", () => { this.start(); this.upload(); this.paint(); });
    this.hands();
    new ResizeObserver(() => this.paint()).observe(canvas);
  }

  front() { this.yaw = 0; this.pitch = 0; this.zoom = 1; if (this.person) this.paint(); }

  start() {
    const gl = this.gl;
    const compiled = (kind, text) => { const shader = gl.createShader(kind); gl.shaderSource(shader, text);
      gl.compileShader(shader); return shader; };
    this.program = gl.createProgram();
    gl.attachShader(this.program, compiled(gl.VERTEX_SHADER, VERTEX));
    gl.attachShader(this.program, compiled(gl.FRAGMENT_SHADER, FRAGMENT));
    ["position", "normal", "colour"].forEach((name, place) => gl.bindAttribLocation(this.program, place, name));
    gl.linkProgram(this.program);
    this.indexable = gl.getExtension("OES_element_index_uint");
    this.buffers = ["position", "normal", "colour", "index"].map(() => gl.createBuffer());
    this.camera = gl.getUniformLocation(this.program, "camera");
    this.turn = gl.getUniformLocation(this.program, "turn");
  }

  // One person of a scene; `colours` is the scene's ramp and `hot` the metres of its end.
  show(scene, person) {
    this.scene = scene; this.person = person;
    const count = person.points * 3;
    this.positions = new Float32Array(count); this.normals = new Float32Array(count);
    this.colours = new Float32Array(count);
    this.neutral = Float32Array.from(person.neutral, (value) => value * person.step);
    const low = [1e9, 1e9, 1e9], high = [-1e9, -1e9, -1e9];
    for (let i = 0; i < count; i++) {
      low[i % 3] = Math.min(low[i % 3], this.neutral[i]); high[i % 3] = Math.max(high[i % 3], this.neutral[i]);
    }
    this.centre = low.map((value, axis) => (value + high[axis]) / 2);
    this.radius = Math.hypot(...low.map((value, axis) => high[axis] - value)) / 2;
    this.before = []; this.after = [];  // of each frame, the nearest sample at or before it, and at or after it
    let sample = -1;
    for (let row = 0; row < scene.times.length; row++) {
      if (person.rows[sample + 1] === row) sample++;
      this.before.push(sample);
      this.after.push(sample >= 0 && person.rows[sample] === row ? sample : Math.min(sample + 1, person.rows.length - 1));
    }
    this.upload();
  }

  upload() {
    if (!this.gl || !this.person) return;
    this.gl.bindBuffer(this.gl.ELEMENT_ARRAY_BUFFER, this.buffers[3]);
    this.gl.bufferData(this.gl.ELEMENT_ARRAY_BUFFER, this.person.faces, this.gl.STATIC_DRAW);
  }

  // Puts the face of one frame there; `unit` is the row of the masks whose region alone is coloured, or -1.
  pose(row, unit, moving) {
    const {person, scene} = this;
    this.visible = !!person.valid[row];
    if (this.visible) {
      let a = this.before[row], b = this.after[row];
      if (a < 0) a = b;
      const ta = scene.times[person.rows[a]], tb = scene.times[person.rows[b]];
      const w = tb > ta ? (scene.times[row] - ta) / (tb - ta) : 0;
      const p = this.positions, v = person.vertices, count = p.length, ia = a * count, ib = b * count;
      for (let i = 0; i < count; i++) p[i] = person.step * (v[ia + i] * (1 - w) + v[ib + i] * w);
      this.light();
      this.heat(unit);
      this.rotation = moving ? person.rotation.subarray(row * 9, row * 9 + 9) : null;
    }
    this.paint();
  }

  light() {
    const p = this.positions, n = this.normals.fill(0), f = this.person.faces;
    for (let i = 0; i < f.length; i += 3) {
      const a = 3 * f[i], b = 3 * f[i + 1], c = 3 * f[i + 2];
      const x1 = p[b] - p[a], y1 = p[b + 1] - p[a + 1], z1 = p[b + 2] - p[a + 2];
      const x2 = p[c] - p[a], y2 = p[c + 1] - p[a + 1], z2 = p[c + 2] - p[a + 2];
      const x = y1 * z2 - z1 * y2, y = z1 * x2 - x1 * z2, z = x1 * y2 - y1 * x2;
      for (const k of [a, b, c]) { n[k] += x; n[k + 1] += y; n[k + 2] += z; }
    }
    for (let i = 0; i < n.length; i += 3) {
      const length = Math.hypot(n[i], n[i + 1], n[i + 2]) || 1;
      n[i] /= length; n[i + 1] /= length; n[i + 2] /= length;
    }
  }

  heat(unit) {
    const {colours, hot} = this.scene, p = this.positions, r = this.neutral, out = this.colours;
    const last = colours.length - 1, masks = this.person.masks, count = this.person.points;
    for (let k = 0; k < count; k++) {
      const i = 3 * k;
      const moved = Math.hypot(p[i] - r[i], p[i + 1] - r[i + 1], p[i + 2] - r[i + 2]);
      const inside = unit < 0 || masks[unit * count + k];
      const colour = inside ? colours[Math.min(last, Math.round(last * moved / hot))] : [0.72, 0.72, 0.72];
      out[i] = colour[0]; out[i + 1] = colour[1]; out[i + 2] = colour[2];
    }
  }

  paint() {
    const gl = this.gl, ratio = window.devicePixelRatio || 1;
    if (!gl) return;
    const width = Math.round(this.canvas.clientWidth * ratio), height = Math.round(this.canvas.clientHeight * ratio);
    if (!width || !height) return;
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width; this.canvas.height = height;
    }
    gl.viewport(0, 0, width, height);
    gl.clearColor(0.08, 0.095, 0.115, 1); gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    if (!this.person || !this.visible) return;
    gl.enable(gl.DEPTH_TEST); gl.useProgram(this.program);
    [this.positions, this.normals, this.colours].forEach((values, place) => {
      gl.bindBuffer(gl.ARRAY_BUFFER, this.buffers[place]);
      gl.bufferData(gl.ARRAY_BUFFER, values, gl.DYNAMIC_DRAW);
      gl.enableVertexAttribArray(place); gl.vertexAttribPointer(place, 3, gl.FLOAT, false, 0, 0);
    });
    const turn = this.turned();
    gl.uniformMatrix3fv(this.turn, false, transposed(turn));
    gl.uniformMatrix4fv(this.camera, false, this.projected(turn, width / height));
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, this.buffers[3]);
    const wide = this.indexable ? gl.UNSIGNED_INT : null;
    if (wide) gl.drawElements(gl.TRIANGLES, this.person.faces.length, wide, 0);
  }

  // The head's rotation, then the visitor's: rows of a 3 x 3 matrix.
  turned() {
    const [cy, sy, cx, sx] = [Math.cos(this.yaw), Math.sin(this.yaw), Math.cos(this.pitch), Math.sin(this.pitch)];
    const orbit = [cy, 0, sy, sx * sy, cx, -sx * cy, -cx * sy, sx, cx * cy];
    if (!this.rotation) return orbit;
    const out = [];
    for (let i = 0; i < 3; i++) for (let j = 0; j < 3; j++)
      out.push(orbit[3 * i] * this.rotation[j] + orbit[3 * i + 1] * this.rotation[3 + j] + orbit[3 * i + 2] * this.rotation[6 + j]);
    return out;
  }

  projected(turn, aspect) {
    const distance = 3.4 * this.radius / this.zoom, near = distance / 20, far = distance + 4 * this.radius;
    const focal = 3.7 * Math.min(1, aspect), k = this.centre, m = new Float32Array(16);
    const shift = [0, 1, 2].map((i) => -(turn[3 * i] * k[0] + turn[3 * i + 1] * k[1] + turn[3 * i + 2] * k[2]));
    shift[2] -= distance;
    for (let column = 0; column < 4; column++) {
      const [x, y, z] = [0, 1, 2].map((i) => column < 3 ? turn[3 * i + column] : shift[i]);
      m[4 * column] = x * focal / aspect; m[4 * column + 1] = y * focal;
      m[4 * column + 2] = -(z * (far + near) + (column === 3 ? 2 * far * near : 0)) / (far - near);
      m[4 * column + 3] = -z;
    }
    return m;
  }

  hands() {
    const fingers = new Map();
    const spread = () => { const [a, b] = [...fingers.values()]; return Math.hypot(a[0] - b[0], a[1] - b[1]); };
    const canvas = this.canvas;
    canvas.addEventListener("pointerdown", (event) => {
      fingers.set(event.pointerId, [event.clientX, event.clientY]); canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      const last = fingers.get(event.pointerId);
      if (!last) return;
      const apart = fingers.size === 2 ? spread() : 0;
      fingers.set(event.pointerId, [event.clientX, event.clientY]);
      if (fingers.size === 2) this.zoomBy(spread() / Math.max(apart, 1));
      else this.orbit((event.clientX - last[0]) / canvas.clientWidth, (event.clientY - last[1]) / canvas.clientHeight);
    });
    for (const name of ["pointerup", "pointercancel"])
      canvas.addEventListener(name, (event) => fingers.delete(event.pointerId));
    canvas.addEventListener("dblclick", () => this.front());
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault(); this.zoomBy(Math.exp(-event.deltaY / 500));
    }, {passive: false});
    canvas.addEventListener("keydown", (event) => {
      const turns = {ArrowLeft: [-0.05, 0], ArrowRight: [0.05, 0], ArrowUp: [0, -0.05], ArrowDown: [0, 0.05]};
      if (turns[event.key]) this.orbit(...turns[event.key]);
      else if (event.key === "+" || event.key === "-") this.zoomBy(event.key === "+" ? 1.1 : 1 / 1.1);
      else return;
      event.preventDefault();
    });
  }

  orbit(across, down) {
    this.yaw += across * Math.PI * 1.2;
    this.pitch = Math.max(-1.5, Math.min(1.5, this.pitch + down * Math.PI));
    this.paint();
  }

  zoomBy(factor) { this.zoom = Math.max(0.4, Math.min(5, this.zoom * factor)); this.paint(); }
}

function transposed(m) { return [m[0], m[3], m[6], m[1], m[4], m[7], m[2], m[5], m[8]]; }
