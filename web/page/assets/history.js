// The last hour in small charts.

import { get } from "./api.js";
import { bytes, el, svg } from "./dom.js";

const plain = (v) => (v >= 100 ? v.toFixed(0) : v.toFixed(1));
const NAMES = {
  frames_per_s: ["Frames captured a second", plain],
  inferences_per_s: ["Frames looked at a second", plain],
  detections_per_s: ["Detections a second", plain],
  latency_ms: ["From frame to result, ms", plain],
  dropped_per_s: ["Frames left out a second, beside the rate", plain],
  messages_per_s: ["MQTT messages a second", plain],
  waiting_messages: ["Messages that wait for the broker", plain],
  service_memory_bytes: ["Memory of the service", bytes],
  worker_memory_bytes: ["Memory of the workers", bytes],
  temperature_c: ["Temperature, °C", plain],
  restarts: ["Restarts of workers", (v) => v.toFixed(0)],
};

function chart(name, samples, every) {
  const [metric, camera] = name.split("/");
  const [title, show] = NAMES[metric] ?? [metric, plain];
  const values = samples.filter((v) => v !== null);
  const low = metric === "temperature_c" ? Math.min(...values) - 1 : 0;
  const high = Math.max(...values, low + 1e-9) * 1.05 || 1;
  const width = Math.max(samples.length, 30); // what there is of the hour fills the chart
  const x = (i) => (width - samples.length + i).toFixed(1);
  const y = (v) => (60 - (60 * (v - low)) / (high - low || 1)).toFixed(1);
  let line = "";
  samples.forEach((v, i) => {
    if (v !== null) line += `${samples[i - 1] === null || i === 0 ? "M" : "L"}${x(i)} ${y(v)}`;
  });
  const now = samples.at(-1);
  const text = now === null ? "missing now" : `now ${show(now)}`;
  return el("figure", { class: "card chart", "data-series": name },
    el("figcaption", {}, el("span", {}, camera ? `${title} · ${camera}` : title), el("span", { class: "now" }, now === null ? "–" : show(now))),
    svg("svg", { viewBox: `0 0 ${width} 62`, preserveAspectRatio: "none", role: "img",
      "aria-label": `${title} ${camera ?? ""}: ${text}, between ${show(Math.min(...values))} and ${show(Math.max(...values))} in the last ${Math.round((samples.length * every) / 60)} minutes` },
    svg("path", { class: "area", d: line.includes("M", 1) || !line ? "" : `${line}L${width - 1} 60L${x(0)} 60Z` }), svg("path", { d: line })),
    el("div", { class: "axis", "aria-hidden": "true" }, el("span", {}, `−${Math.round((width * every) / 60)} min`), el("span", {}, `${show(Math.min(...values))} … ${show(Math.max(...values))}`), el("span", {}, "now")));
}

export async function historyView(main) {
  const grid = el("div", { class: "grid" });
  main.replaceChildren(el("h2", {}, "The last hour"), el("p", { class: "soft" }, "A sample every 10 seconds, kept in memory: a restart of the service begins anew. Metrics for Prometheus are at /metrics."), grid);
  const order = Object.keys(NAMES);
  async function show() {
    const h = await get("history");
    const names = Object.keys(h.series).filter((n) => h.series[n].some((v) => v !== null))
      .sort((a, b) => order.indexOf(a.split("/")[0]) - order.indexOf(b.split("/")[0]) || a.localeCompare(b));
    grid.replaceChildren(...(names.length ? names.map((n) => chart(n, h.series[n], h.every_s)) : [el("p", { class: "soft" }, "The first samples come within 20 seconds.")]));
  }
  await show();
  const timer = setInterval(() => show().catch(() => {}), 10000);
  return { state: () => {}, close: () => clearInterval(timer) };
}
