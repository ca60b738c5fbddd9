// The live view: frames with what was seen in them, over one connection for all cameras that are on the screen.

import { ask, get } from "./api.js";
import { el } from "./dom.js";
import { draw } from "./draw.js";

// parts reads a multipart answer: it yields each part's type and bytes.
export async function* parts(body) {
  const reader = body.getReader();
  let held = new Uint8Array(0);
  const more = async () => {
    const { done, value } = await reader.read();
    if (done) return false;
    const joined = new Uint8Array(held.length + value.length);
    joined.set(held);
    joined.set(value, held.length);
    held = joined;
    return true;
  };
  const text = new TextDecoder();
  for (;;) {
    let end;
    while ((end = headerEnd(held)) < 0) if (!(await more())) return;
    const header = text.decode(held.subarray(0, end));
    const length = Number(/content-length: *(\d+)/i.exec(header)?.[1]);
    if (!Number.isFinite(length)) throw new Error("a part without its length");
    while (held.length < end + 4 + length) if (!(await more())) return;
    yield { type: /content-type: *([^\r;]+)/i.exec(header)?.[1], bytes: held.slice(end + 4, end + 4 + length) };
    held = held.slice(end + 4 + length);
  }
}

function headerEnd(bytes) {
  for (let i = 0; i + 3 < bytes.length; i++) {
    if (bytes[i] === 13 && bytes[i + 1] === 10 && bytes[i + 2] === 13 && bytes[i + 3] === 10 && i > 4) return i;
  }
  return -1;
}

class Screen {
  constructor(camera) {
    this.camera = camera;
    this.canvas = el("canvas", { role: "img", "aria-label": `live picture of ${camera.name}`, width: 640, height: 360 });
    this.wait = el("p", { class: "wait" }, "waiting for a picture …");
    this.box = el("div", { class: "screen" }, this.canvas, this.wait);
    this.seen = el("span", { class: "seen" });
    this.rate = el("span", { class: "soft" });
    this.node = el("figure", { class: "card view", "data-camera": camera.name }, this.box,
      el("figcaption", {}, el("strong", {}, camera.name), this.seen, this.rate,
        el("div", { class: "row" }, el("a", { class: "button", href: `#edit/${camera.name}`, "aria-label": `Regions of ${camera.name}` }, "Regions"),
          el("button", { type: "button", onclick: () => this.box.requestFullscreen?.() }, "Full screen"))));
    this.times = [];
  }

  show(message, bitmap) {
    const wide = Math.min(Math.max(this.box.clientWidth * devicePixelRatio, 320), 1920);
    const width = Math.round(wide);
    const height = Math.round((wide * bitmap.height) / bitmap.width);
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
      this.box.style.aspectRatio = `${bitmap.width} / ${bitmap.height}`;
    }
    draw(this.canvas, bitmap, message, this.camera);
    this.canvas.dataset.sequence = message.sequence;
    this.wait.hidden = true;
    this.count(message);
  }

  count(message) {
    const now = performance.now();
    this.times = [...this.times.filter((t) => now - t < 3000), now];
    if (now - (this.told ?? 0) < 500) return; // text that flickers is not read
    this.told = now;
    const labels = {};
    for (const d of message.detections ?? []) labels[d.label] = (labels[d.label] ?? 0) + 1;
    const seen = Object.entries(labels).map(([label, n]) => (n > 1 ? `${n} × ${label}` : label)).join(", ");
    this.seen.textContent = message.detections ? seen || "nothing seen" : "not looked at: nothing moves, or no worker runs (see Health)";
    this.canvas.setAttribute("aria-label", `live picture of ${this.camera.name}: ${this.seen.textContent}`);
    this.rate.textContent = this.times.length > 2
      ? `${((1000 * (this.times.length - 1)) / (now - this.times[0])).toFixed(1)} pictures/s` : "";
  }

  lost(why) {
    this.wait.hidden = false;
    this.wait.textContent = why;
  }
}

export async function liveView(main) {
  const cameras = (await get("cameras")).cameras;
  const screens = new Map(cameras.map((c) => [c.name, new Screen(c)]));
  main.replaceChildren(el("h2", { class: "skip" }, "Live"), el("div", { class: "views" }, [...screens.values()].map((s) => s.node)));
  if (cameras.length === 0) main.append(el("p", {}, "No camera is configured."));

  const visible = new Set();
  let abort = null;
  let closed = false;
  let soon = 0;

  async function run() {
    abort?.abort();
    if (closed || document.hidden || visible.size === 0) return;
    const own = (abort = new AbortController());
    const widest = Math.max(...[...visible].map((n) => screens.get(n).box.clientWidth)) * Math.min(devicePixelRatio, 2);
    const query = [...visible].sort().map((n) => "camera=" + encodeURIComponent(n)).join("&");
    try {
      const response = await ask(`live?${query}&width=${Math.round(Math.min(Math.max(widest, 320), 1280))}`, { signal: own.signal });
      let message = null;
      for await (const part of parts(response.body)) {
        if (part.type === "application/json") {
          message = JSON.parse(new TextDecoder().decode(part.bytes));
          continue;
        }
        const bitmap = await createImageBitmap(new Blob([part.bytes], { type: "image/jpeg" }));
        if (!own.signal.aborted) screens.get(message.camera)?.show(message, bitmap);
        bitmap.close();
      }
    } catch (error) {
      if (!own.signal.aborted) for (const name of visible) screens.get(name).lost(`no picture: ${error.message}`);
    }
    if (!own.signal.aborted) again(1500);
  }

  function again(ms) {
    clearTimeout(soon);
    soon = setTimeout(run, ms);
  }

  const observer = new IntersectionObserver((entries) => {
    for (const e of entries) {
      if (e.isIntersecting) visible.add(e.target.dataset.camera);
      else visible.delete(e.target.dataset.camera);
    }
    again(100);
  });
  for (const s of screens.values()) observer.observe(s.node);
  const shown = () => again(0);
  document.addEventListener("visibilitychange", shown);
  return {
    state: ({ state }) => {
      for (const [name, c] of Object.entries(state.cameras)) {
        if (["lost", "stalled", "disabled"].includes(c.state)) screens.get(name)?.lost(`camera ${c.state}: ${c.last_error ?? ""}`);
      }
    },
    close: () => {
      closed = true;
      clearTimeout(soon);
      observer.disconnect();
      document.removeEventListener("visibilitychange", shown);
      abort?.abort();
    },
  };
}
