// The last events, newest first.

import { get } from "./api.js";
import { clock, el } from "./dom.js";

function event(e) {
  const after = e.after ?? {};
  const where = (after.zones ?? []).map((z) => el("span", { class: "tag" }, z));
  return el("li", { class: "card event" },
    e.snapshot ? el("img", { src: e.snapshot, alt: `${after.label} at ${e.camera}`, loading: "lazy" }) : "",
    el("div", { class: "row" }, el("strong", {}, after.label ?? e.type), el("span", { class: "tag" }, e.type), ...where),
    el("div", { class: "soft" }, `${e.camera} · `, e.time ? el("time", { datetime: e.time }, clock(e.time)) : "", e.crossed ? ` · crossed ${e.crossed.join(", ")}` : "", e.reason ? ` · ${e.reason.replaceAll("_", " ")}` : "", ` · ${e.id}`));
}

export async function eventsView(main) {
  const list = el("ul", { class: "notes" });
  main.replaceChildren(el("h2", {}, "Last events"), list);
  async function show() {
    const all = (await get("events")).events.slice().reverse();
    list.replaceChildren(...(all.length ? all.map(event) : [el("li", { class: "soft" }, "Nothing has come or gone since the service's start.")]));
  }
  await show();
  const timer = setInterval(() => show().catch(() => {}), 2000);
  return { state: () => {}, close: () => clearInterval(timer) };
}
