// How the device is: what is degraded with why and what to do, each part, and the last faults.

import { get } from "./api.js";
import { bytes, clock, el, pairs, span } from "./dom.js";

const GOOD = ["ready", "streaming", "connected"];
const PENDING = ["starting", "building", "opening", "draining", "connecting"];
const kind = (state) => (GOOD.includes(state) ? "good" : PENDING.includes(state) ? "pending" : "bad");
const word = (state) => el("span", { class: `state ${kind(state)}` }, state.replaceAll("_", " "));

function drops(counts) {
  return Object.entries(counts ?? {}).filter(([, n]) => n > 0).map(([cause, n]) => `${n} ${cause.replaceAll("_", " ")}`).join(", ") || "none";
}

function worker(w) {
  return el("section", { class: "card" }, el("h3", {}, `Worker ${w.name}`),
    pairs(["state", word(w.state)], ["role", w.role], ["model", w.model && `${w.model.name} (${w.model.family})`],
      ["provider", w.provider && `${w.provider}${w.degraded ? ": " + w.degraded : ""}`], ["ONNX Runtime", w.runtime],
      ["process", w.pid && `${w.pid}, generation ${w.generation}`], ["restarts", String(w.restarts)],
      ["memory", w.memory && `${bytes(w.memory.current_bytes)}, peak ${bytes(w.memory.peak_bytes)}`],
      ["last fault", w.last_fault && `${w.last_fault.kind}: ${w.last_fault.message}`]));
}

function camera([name, c]) {
  return el("section", { class: "card" }, el("h3", {}, `Camera ${name}`),
    pairs(["state", word(c.state)], ["source", c.source], ["format", c.width && `${c.format} ${c.width}×${c.height}`],
      ["frames/s", c.fps.toFixed(1)], ["last frame", c.last_frame_age_s !== undefined && `${span(c.last_frame_age_s)} ago`],
      ["not looked at", drops(c.drops)], ["error", c.last_error]));
}

function device(state, health) {
  const r = state.resources;
  const limits = r.limits;
  return [
    el("section", { class: "card" }, el("h3", {}, "Broker and outbox"),
      pairs(["connection", health.broker && word(health.broker.connected ? "connected" : "connecting")], ["error", health.broker?.last_error],
        ["waiting", `${state.outbox.depth} messages`], ["given up", String(state.outbox.dropped)])),
    el("section", { class: "card" }, el("h3", {}, "Device"),
      pairs(["version", state.version], ["up for", span(state.uptime_s)], ["clock", state.clock],
        ["temperature", r.temperature_c !== undefined && `${r.temperature_c.toFixed(0)} °C`],
        ["memory", `service ${bytes(r.parent_rss_bytes)}, workers ${bytes(r.child_rss_bytes)}`],
        ["limits of a worker", limits && ([limits.memory_bytes && bytes(limits.memory_bytes), limits.cpu_cores && `${limits.cpu_cores} processors`,
          limits.cpuset && `processors ${limits.cpuset}`, limits.pids && `${limits.pids} processes`].filter(Boolean).join(", ") || "none")])),
  ];
}

function reasons(state, health) {
  const notes = health.reasons.map((r) => el("li", { class: `note ${health.health}` }, el("p", {}, r)));
  for (const d of state.degraded) {
    notes.push(el("li", { class: "note pending" }, el("p", {}, el("strong", {}, d.what), `: ${d.why}`), el("p", {}, `→ ${d.remedy}`)));
  }
  if (notes.length === 0) notes.push(el("li", { class: "note good" }, el("p", {}, "Every worker runs the model, every camera shows frames, a broker is connected.")));
  return el("ul", { class: "notes" }, notes);
}

function fault(f) {
  return el("details", {}, el("summary", {}, el("time", { datetime: f.time }, clock(f.time)), ` · ${f.process} · `, el("strong", {}, f.kind), `: ${f.message}`),
    pairs(["exception", f.exception], ["generation", String(f.generation)], ["ended by", f.signal || `exit code ${f.exit_code}`], ["lived", span(f.uptime_s)], ["peak memory", bytes(f.peak_rss_bytes)]),
    f.traceback ? el("pre", { tabindex: 0, "aria-label": "traceback" }, f.traceback) : "", f.last_log?.length ? el("pre", { tabindex: 0, "aria-label": "last log lines" }, f.last_log.join("\n")) : "");
}

export async function healthView(main) {
  const now = el("div", { class: "grid" });
  const why = el("section", { class: "card" });
  const faults = el("section", { class: "card" }, el("h2", {}, "Last faults"));
  main.replaceChildren(why, now, faults);
  let shown = "";
  async function showFaults() {
    const list = (await get("faults")).faults.slice().reverse();
    faults.replaceChildren(el("h2", {}, "Last faults"), ...(list.length ? list.map(fault) : [el("p", { class: "soft" }, "None is kept.")]));
  }
  return {
    state: ({ state, health }) => {
      why.replaceChildren(el("h2", {}, `Health: ${health.health}`), reasons(state, health));
      now.replaceChildren(...state.workers.map(worker), ...Object.entries(state.cameras).map(camera), ...device(state, health));
      const key = state.workers.map((w) => `${w.generation} ${w.last_fault?.time}`).join();
      if (key !== shown) {
        shown = key;
        showFaults().catch(() => {});
      }
    },
    close: () => {},
  };
}
