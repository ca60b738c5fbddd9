// The editor of masks, zones and lines: drawn on a still, given as YAML, and applied where this is allowed.

import { get, session, setRegions } from "./api.js";
import { el, svg } from "./dom.js";
import { regionsYAML } from "./yaml.js";

const KINDS = { masks: "mask", zones: "zone", lines: "line" };
const LEAST = { masks: 3, zones: 3, lines: 2 };
const MOST = 64; // corners that the service takes
const round = (v) => Math.round(Math.min(Math.max(v, 0), 1) * 10000) / 10000;

// shapesOf turns a camera's configuration into a list of shapes; the rest of each zone's settings stays beside it.
function shapesOf(camera) {
  const shapes = (camera.masks ?? []).map((points) => ({ kind: "masks", name: "", points: points.map((p) => [...p]), rest: {} }));
  for (const [name, { polygon, ...rest }] of Object.entries(camera.zones ?? {})) {
    shapes.push({ kind: "zones", name, points: polygon.map((p) => [...p]), rest });
  }
  for (const [name, { from, to, ...rest }] of Object.entries(camera.lines ?? {})) {
    shapes.push({ kind: "lines", name, points: [[...from], [...to]], rest });
  }
  return shapes;
}

export function regionsOf(shapes) {
  const regions = { masks: [], zones: {}, lines: {} };
  for (const s of shapes) {
    if (s.points.length < LEAST[s.kind]) continue;
    if (s.kind === "masks") regions.masks.push(s.points);
    if (s.kind === "zones") regions.zones[s.name] = { ...s.rest, polygon: s.points };
    if (s.kind === "lines") regions.lines[s.name] = { ...s.rest, from: s.points[0], to: s.points[1] };
  }
  return regions;
}

function problemsOf(shapes) {
  const problems = [];
  const names = new Set();
  for (const s of shapes) {
    if (s.points.length < LEAST[s.kind]) problems.push(`${KINDS[s.kind]} ${s.name} needs ${LEAST[s.kind]} corners: click on the picture to add them`);
    if (s.kind === "masks") continue;
    if (!/^[a-z0-9_-]{1,32}$/.test(s.name)) problems.push(`the name “${s.name}” is not 1 to 32 of a-z, 0-9, _ and -`);
    const key = `${s.kind} ${s.name}`;
    if (names.has(key)) problems.push(`the name “${s.name}” is there twice`);
    names.add(key);
  }
  return problems;
}

export async function editView(main, name) {
  const { cameras } = await get("cameras");
  const camera = cameras.find((c) => c.name === name) ?? cameras[0];
  if (!camera) {
    main.replaceChildren(el("p", {}, "No camera is configured."));
    return { state: () => {}, close: () => {} };
  }
  const shapes = shapesOf(camera);
  let chosen = shapes[0] ?? null;
  let changed = false;

  const image = el("img", { alt: `still picture of ${camera.name}` });
  const over = svg("svg", { viewBox: "0 0 1000 1000", preserveAspectRatio: "none", role: "group", "aria-label": "shapes on the picture" });
  const still = el("div", { class: "still" }, image, over);
  const list = el("ul", { class: "shapes" });
  const yaml = el("pre", { tabindex: 0, "aria-label": "configuration as YAML" });
  const problems = el("ul", { class: "notes", role: "status" });
  const said = el("p", { class: "soft", role: "status" });
  const apply = el("button", { type: "button", class: "primary", onclick: save }, "Apply");
  const mayApply = session.role === "admin" && !session.unchangeable;
  apply.disabled = true;

  async function picture() {
    try {
      const response = await fetch(`/api/v1/cameras/${encodeURIComponent(camera.name)}/snapshot.jpg?width=1280`, { cache: "no-store" });
      if (!response.ok) throw new Error((await response.json()).error);
      const url = URL.createObjectURL(await response.blob());
      image.onload = () => URL.revokeObjectURL(url);
      image.src = url;
    } catch (error) {
      said.textContent = `no picture: ${error.message}`;
    }
  }

  function add(kind) {
    let n = 1;
    while (shapes.some((s) => s.name === `${KINDS[kind]}-${n}`)) n++;
    chosen = { kind, name: kind === "masks" ? "" : `${KINDS[kind]}-${n}`, points: [], rest: {} };
    shapes.push(chosen);
    touch();
    said.textContent = `Click on the picture to set corners, or press “Add a corner”. A ${KINDS[kind]} has ${kind === "lines" ? "two" : "three or more"}.`;
  }

  function addCorner(shape, point) {
    if (shape.points.length >= (shape.kind === "lines" ? 2 : MOST)) return;
    shape.points.push(point.map(round));
    touch();
  }

  function remove(shape) {
    shapes.splice(shapes.indexOf(shape), 1);
    if (chosen === shape) chosen = shapes.at(-1) ?? null;
    touch();
  }

  function touch() {
    changed = true;
    render();
  }

  function at(event) {
    const box = over.getBoundingClientRect();
    return [round((event.clientX - box.left) / box.width), round((event.clientY - box.top) / box.height)];
  }

  over.addEventListener("pointerdown", (event) => {
    const corner = event.target.closest?.(".corner");
    if (corner) {
      drag(event, corner);
      return;
    }
    const index = event.target.dataset?.shape;
    if (index !== undefined && shapes[index] !== chosen) {
      chosen = shapes[index];
      render();
    } else if (chosen) {
      addCorner(chosen, at(event));
    }
  });

  function drag(event, corner) {
    const shape = shapes[corner.dataset.shape];
    const index = Number(corner.dataset.corner);
    event.preventDefault();
    chosen = shape;
    over.setPointerCapture(event.pointerId);
    const move = (e) => {
      shape.points[index] = at(e);
      touch();
    };
    const end = () => {
      over.removeEventListener("pointermove", move);
      focusCorner(shape, index);
    };
    over.addEventListener("pointermove", move);
    over.addEventListener("pointerup", end, { once: true });
    over.addEventListener("pointercancel", end, { once: true });
  }

  function focusCorner(shape, index) {
    over.querySelector(`.corner[data-shape="${shapes.indexOf(shape)}"][data-corner="${index}"]`)?.focus({ preventScroll: true });
  }

  over.addEventListener("keydown", (event) => {
    const corner = event.target.closest?.(".corner");
    if (!corner) return;
    const shape = shapes[corner.dataset.shape];
    const index = Number(corner.dataset.corner);
    const step = event.shiftKey ? 0.05 : 0.005;
    const by = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key];
    if (by) {
      shape.points[index] = [round(shape.points[index][0] + by[0]), round(shape.points[index][1] + by[1])];
    } else if (event.key === "Delete" || event.key === "Backspace") {
      shape.points.splice(index, 1);
    } else return;
    event.preventDefault();
    chosen = shape;
    touch();
    focusCorner(shape, Math.min(index, shape.points.length - 1));
  });

  function drawn() {
    const nodes = [];
    shapes.forEach((s, i) => {
      const points = s.points.map(([x, y]) => `${x * 1000},${y * 1000}`).join(" ");
      nodes.push(svg(s.kind === "lines" || s.points.length < 3 ? "polyline" : "polygon", { points, class: `shape ${s.kind} ${s === chosen ? "chosen" : ""}`, "data-shape": i }));
    });
    const { width, height } = over.getBoundingClientRect();
    const [rx, ry] = [8000 / (width || 640), 8000 / (height || 360)];
    shapes.forEach((s, i) => {
      if (s !== chosen) return;
      s.points.forEach(([x, y], j) => nodes.push(svg("ellipse", { cx: x * 1000, cy: y * 1000, rx, ry, class: "corner", tabindex: 0, role: "button",
        "data-shape": i, "data-corner": j, "aria-label": `corner ${j + 1} of ${KINDS[s.kind]} ${s.name}, at ${(x * 100).toFixed(1)}% across and ${(y * 100).toFixed(1)}% down; arrow keys move it, Delete removes it` })));
    });
    over.replaceChildren(...nodes);
  }

  function item(s) {
    const labels = (s.rest.labels ?? []).join(", ");
    const name = s.kind === "masks" ? el("strong", {}, `mask ${shapes.filter((o) => o.kind === "masks").indexOf(s) + 1}`)
      : el("label", {}, `Name of the ${KINDS[s.kind]}`, el("input", { value: s.name, maxlength: 32, autocapitalize: "none", spellcheck: "false",
        oninput: (e) => { s.name = e.target.value; changed = true; output(); } }));
    return el("li", { class: s === chosen ? "chosen" : "" }, name,
      s.kind === "masks" ? "" : el("label", {}, "Labels, with commas between them; none: all", el("input", { value: labels, autocapitalize: "none", spellcheck: "false",
        oninput: (e) => { s.rest.labels = e.target.value.split(",").map((l) => l.trim()).filter(Boolean); changed = true; output(); } })),
      el("div", { class: "row" }, el("button", { type: "button", "aria-pressed": String(s === chosen), onclick: () => { chosen = s; render(); } }, "Edit"),
        el("button", { type: "button", disabled: s.points.length >= (s.kind === "lines" ? 2 : MOST), onclick: () => { chosen = s; addCorner(s, middle(s)); focusCorner(s, s.points.length - 1); } }, "Add a corner"),
        el("button", { type: "button", onclick: () => remove(s) }, "Remove"), el("span", { class: "soft" }, `${s.points.length} corners`)));
  }

  // middle is a place for a new corner that can be seen: between the last and the first, or in the picture's middle.
  function middle(s) {
    if (s.points.length < 2) return [0.4 + 0.2 * s.points.length, 0.5];
    const [a, b] = [s.points.at(-1), s.points[0]];
    return [(a[0] + b[0]) / 2, Math.min((a[1] + b[1]) / 2 + 0.05, 1)];
  }

  function output() {
    const wrong = problemsOf(shapes);
    problems.replaceChildren(...wrong.map((p) => el("li", { class: "note pending" }, p)));
    yaml.textContent = regionsYAML(camera.name, regionsOf(shapes));
    apply.disabled = !mayApply || !changed || wrong.length > 0;
  }

  function render() {
    drawn();
    list.replaceChildren(...shapes.map(item));
    output();
  }

  async function save() {
    apply.disabled = true;
    said.textContent = "The service takes the change …";
    try {
      await setRegions(camera.name, regionsOf(shapes));
      changed = false;
      said.textContent = "Applied. The camera was started anew with it.";
    } catch (error) {
      said.textContent = `Not applied: ${error.message}`;
      output();
    }
  }

  const why = session.unchangeable || (session.role === "admin" ? "" : "To apply it here, log in as the administrator; or copy it into the configuration.");
  main.replaceChildren(
    el("div", { class: "row" }, el("h2", {}, `Regions of ${camera.name}`),
      cameras.length > 1 ? el("label", {}, "Camera", el("select", { onchange: (e) => { location.hash = `#edit/${e.target.value}`; } },
        cameras.map((c) => el("option", { value: c.name, selected: c === camera }, c.name)))) : "",
      el("button", { type: "button", onclick: picture }, "New still")),
    el("div", { class: "editor" },
      el("div", { class: "notes" }, still,
        el("div", { class: "row" }, el("button", { type: "button", onclick: () => add("zones") }, "Add a zone"),
          el("button", { type: "button", onclick: () => add("lines") }, "Add a line"), el("button", { type: "button", onclick: () => add("masks") }, "Add a mask")), said),
      el("section", { class: "card", "aria-label": "Shapes" }, list, problems,
        el("div", { class: "row" }, apply, el("button", { type: "button", onclick: copy }, "Copy YAML"), why && el("span", { class: "soft" }, why)), yaml)));

  async function copy() {
    try {
      await navigator.clipboard.writeText(yaml.textContent);
      said.textContent = "Copied.";
    } catch {
      getSelection().selectAllChildren(yaml); // the browser gives the clipboard to secure pages alone
      said.textContent = "Selected: copy it from here.";
    }
  }

  const resized = new ResizeObserver(drawn);
  resized.observe(still);
  render();
  picture();
  return { state: () => {}, close: () => resized.disconnect() };
}
