// Drives the page of a running service in Chromium and says what it saw: a line of JSON for each observation, {"fail": …} for what is
// wrong. The Go test that starts it (cmd/vedette/window_test.go) compares the boxes with MQTT and with the scene.
//
//   node page.mjs BASE-URL ADMIN-PASSWORD VIEWER-PASSWORD EDGES
//
// EDGES are the edges of the configured zones and lines, as JSON: [{"name", "from": [x, y], "to": [x, y], "colour": "#rrggbb", "least"}, …].

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { browser, watched } from "./browser.mjs";

const [base, adminPassword, viewerPassword, edges] = process.argv.slice(2);
const tell = (o) => console.log(JSON.stringify(o));
const check = (good, what, detail) => good || tell({ fail: what, detail });
const axe = await readFile(new URL("node_modules/axe-core/axe.min.js", import.meta.url), "utf8");

const chromium = await browser();
const context = await chromium.newContext({ viewport: { width: 1280, height: 800 } });
const { page, seen } = await watched(context, base);
page.setDefaultTimeout(30000);
const pill = page.locator("#health");
const health = () => pill.getAttribute("data-health");
const until = async (what, good, within) => {
  const began = Date.now();
  for (;;) {
    if (await good()) return Date.now() - began;
    if (Date.now() - began > within) {
      tell({ fail: what, detail: `not within ${within} ms: ${await pill.textContent()}` });
      return -1;
    }
    await page.waitForTimeout(20);
  }
};

async function logIn(password) {
  await page.locator("[name=password]").fill(password);
  await page.locator("dialog [type=submit]").click();
}

async function accessible(view) {
  await page.evaluate(() => Promise.all(document.getAnimations().map((a) => a.finished.catch(() => {})))); // colours on their way say nothing
  const found = await page.evaluate(`${axe}; axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"] })
    .then((r) => r.violations.filter((v) => v.impact === "serious" || v.impact === "critical").map((v) => v.id + ": " + v.nodes.map((n) => n.html).join(" ").slice(0, 300)))`);
  check(found.length === 0, `axe finds in ${view}`, found);
}

// Log in.
await page.goto(base);
await page.getByRole("heading", { name: "Log in to see this device" }).waitFor();
await accessible("the log-in");
await page.getByRole("main").getByRole("button", { name: "Log in" }).click();
await logIn("this is wrong");
await page.getByText("the password is wrong").waitFor();
check((await page.evaluate(() => fetch("/api/v1/state").then((r) => r.status))) === 401, "a wrong password opens something");
await logIn(viewerPassword);
await page.locator("canvas[data-sequence]").waitFor();
await until("the page says good", async () => (await health()) === "good", 30000);
// Everything that was loaded until the first picture. The streams have no end, and so no entry.
const weight = await page.evaluate(() => ["navigation", "resource"].flatMap((type) => performance.getEntriesByType(type)).reduce((sum, e) => sum + e.transferSize, 0));
check(weight > 20 * 1024 && weight < 150 * 1024, "the page is too heavy", weight);
check(seen.requests.length < 40, "too many requests", seen.requests);
tell({ weight, requests: seen.requests.length });

// Boxes: what is drawn on the canvas, found by its pixels.
const observed = await page.evaluate(async () => {
  const { colourOf } = await import("/assets/draw.js");
  const canvas = document.querySelector("canvas");
  const frames = new Map();
  for (const end = Date.now() + 12000; Date.now() < end && frames.size < 12;) {
    await new Promise(requestAnimationFrame);
    const sequence = Number(canvas.dataset.sequence);
    if (frames.has(sequence)) continue;
    const { width, height } = canvas;
    const pixels = canvas.getContext("2d").getImageData(0, 0, width, height).data;
    frames.set(sequence, { sequence, width, height, boxes: ["person", "cup"].map((l) => box(pixels, width, height, colourOf(l), l)).filter(Boolean) });
  }
  return [...frames.values()];

  function box(pixels, width, height, colour, label) {
    const [r, g, b] = [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));
    const is = (x, y) => {
      const i = 4 * (y * width + x);
      return Math.abs(pixels[i] - r) + Math.abs(pixels[i + 1] - g) + Math.abs(pixels[i + 2] - b) < 40;
    };
    // A line of a box is a long run of its colour; a label above it is short, and nothing in a photograph is as straight.
    const runs = (outer, inner, at) => {
      const lines = [];
      for (let i = 0; i < outer; i++) {
        let best = 0, run = 0, end = 0;
        for (let j = 0; j < inner; j++) {
          run = at(i, j) ? run + 1 : 0;
          if (run > best) [best, end] = [run, j];
        }
        if (best > inner * 0.3) lines.push({ i, from: end - best + 1, to: end });
      }
      return lines;
    };
    // A label's lines are shorter than the box's own, however long its text is.
    const level = runs(height, width, (y, x) => is(x, y));
    const longest = Math.max(...level.map((l) => l.to - l.from));
    const across = level.filter((l) => l.to - l.from > 0.92 * longest);
    const down = runs(width, height, (x, y) => is(x, y));
    if (across.length < 1 || down.length < 1) return null;
    const middle = (lines, first) => {
      const edge = first ? lines[0].i : lines.at(-1).i;
      const near = lines.filter((l) => Math.abs(l.i - edge) < 12);
      return near.reduce((s, l) => s + l.i + 0.5, 0) / near.length;
    };
    const [x1, x2, y1, y2] = [middle(down, true), middle(down, false), middle(across, true), middle(across, false)];
    // The label: its colour with dark text in it, above the line or just below it.
    let coloured = 0, dark = 0, rows = 0;
    for (let y = Math.max(0, Math.round(y1) - 60); y < Math.round(y1) - 4; y++) {
      if (!is(Math.min(Math.round(x1) + 3, width - 1), y)) continue;
      rows++;
      for (let x = Math.round(x1) + 3; x < x1 + 90; x++) {
        const i = 4 * (y * width + x);
        if (is(x, y)) coloured++;
        else if (pixels[i] + pixels[i + 1] + pixels[i + 2] < 120) dark++;
      }
    }
    return { label, box: [x1 / width, y1 / height, x2 / width, y2 / height], text: { rows: (rows * canvas.clientWidth) / width, dark: dark / (coloured + dark || 1) } };
  }
});
for (const o of observed) tell({ observed: o });

// Zones and lines: how much of each edge has its colour, on the edge itself and beside it, up to 5% of the picture's width away. Boxes and
// labels are drawn over an edge while they pass it, so each is looked at until a picture has its least share.
const outlines = await page.evaluate(async (edges) => {
  const canvas = document.querySelector("canvas");
  const best = new Map();
  let sequence;
  for (const end = Date.now() + 30000; Date.now() < end && edges.some((e) => !(best.get(e.name)?.share >= e.least));) {
    await new Promise(requestAnimationFrame);
    if (canvas.dataset.sequence === sequence) continue;
    sequence = canvas.dataset.sequence;
    const { width, height } = canvas;
    const pixels = canvas.getContext("2d").getImageData(0, 0, width, height).data;
    for (const edge of edges) {
      const seen = outline(pixels, width, height, edge);
      if (!(best.get(edge.name)?.share >= seen.share)) best.set(edge.name, seen);
    }
  }
  return [...best.values()];

  function outline(pixels, width, height, { name, from, to, colour }) {
    const rgb = [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));
    const [ax, ay, bx, by] = [from[0] * width, from[1] * height, to[0] * width, to[1] * height];
    const length = Math.hypot(bx - ax, by - ay);
    const [nx, ny] = [-(by - ay) / length, (bx - ax) / length];
    const farthest = Math.round(0.05 * width);
    const shares = [];
    for (let d = -farthest; d <= farthest; d++) {
      let hits = 0, all = 0;
      for (let along = 0.2 * length; along < 0.8 * length; along++, all++) { // names stand at the ends
        const x = Math.floor(ax + ((bx - ax) * along) / length + nx * d), y = Math.floor(ay + ((by - ay) * along) / length + ny * d);
        const i = 4 * (y * width + x);
        if (rgb.reduce((sum, v, c) => sum + Math.abs(pixels[i + c] - v), 0) < 60) hits++;
      }
      shares.push({ away: d / width, share: hits / all });
    }
    const most = Math.max(...shares.map((s) => s.share));
    const peak = shares.filter((s) => s.share > 0.8 * most); // a line has a width
    const beside = shares.filter((s) => Math.abs(s.away) > 0.02);
    return { name, share: most, away: peak.reduce((sum, s) => sum + s.away, 0) / peak.length, beside: beside.reduce((sum, s) => sum + s.share, 0) / beside.length };
  }
}, JSON.parse(edges));
tell({ outlines });

// What the viewer may not do.
const put = (headers) => page.evaluate((h) => fetch("/api/v1/cameras/yard/regions", { method: "PUT", body: "{}", headers: { "Content-Type": "application/json", ...h } }).then((r) => r.status), headers);
const csrf = () => page.evaluate(() => fetch("/api/v1/session").then((r) => r.json()).then((s) => s.csrf));
check((await put({ "X-Csrf-Token": await csrf() })) === 403, "a viewer may change something");

for (const [hash, name] of [["live", "Live"], ["health", "Health"], ["events", "Events"], ["history", "History"], ["edit", "Regions"]]) {
  await page.goto(`${base}/#${hash}`);
  await page.locator(`nav a[aria-current]`).filter({ hasText: name }).waitFor();
  await page.waitForTimeout(400);
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    await accessible(`${name}, ${colorScheme}`);
  }
}

// A child that dies.
await page.goto(`${base}/#health`);
await page.getByRole("heading", { name: "Health: good" }).waitFor();
const pid = await page.evaluate(() => fetch("/api/v1/state").then((r) => r.json()).then((s) => s.workers[0].pid));
process.kill(pid, "SIGKILL");
const said = await until("a dead child shows", async () => (await health()) !== "good", 2000);
const back = await until("it is well again", async () => (await health()) === "good", 30000);
await page.getByText("signal").first().waitFor();
tell({ dead_shows_ms: said, well_again_ms: back });

// The administrator, and what is not the page's own.
await page.locator("#session").click();
await page.getByRole("main").getByRole("button", { name: "Log in" }).click();
await logIn(adminPassword);
await page.getByRole("button", { name: "Log out (admin)" }).waitFor();
check((await put({})) === 403, "a request without a CSRF token is taken");
check((await put({ "X-Csrf-Token": "wrong" })) === 403, "a request with a wrong CSRF token is taken");

const foreign = createServer((_, response) => response.setHeader("Content-Type", "text/html").end("<title>elsewhere</title>")).listen(0, "127.0.0.1");
await new Promise((done) => foreign.once("listening", done));
const other = await context.newPage();
const statuses = [];
other.on("response", (r) => r.url().startsWith(base) && statuses.push(r.status()));
await other.goto(`http://127.0.0.1:${foreign.address().port}/`);
await other.evaluate(async (to) => {
  await fetch(to + "/api/v1/session", { method: "DELETE", mode: "no-cors", credentials: "include" }).catch(() => {});
  await fetch(to + "/api/v1/session", { method: "POST", mode: "no-cors", credentials: "include", body: '{"password":"x"}' }).catch(() => {});
}, base);
await other.evaluate(() => new Promise((r) => setTimeout(r, 200)));
check(statuses.every((s) => s === 403), "another site's requests are answered", statuses);
check((await csrf()) !== undefined, "another site has logged the administrator out");
await other.close();
foreign.close();

// The editor: a zone by clicks, a corner by the keyboard, applied.
await page.goto(`${base}/#edit/yard`);
await page.getByRole("button", { name: "Add a zone" }).click();
const svg = page.locator(".still svg");
await page.locator(".still img").evaluate((img) => img.complete && img.naturalWidth ? 0 : new Promise((r) => img.addEventListener("load", r)));
const size = await svg.boundingBox();
for (const [x, y] of [[0.2, 0.2], [0.8, 0.2], [0.8, 0.9], [0.2, 0.9]]) await svg.click({ position: { x: x * size.width, y: y * size.height } });
await page.getByLabel("Name of the zone").last().fill("drive");
await page.locator(".corner").nth(2).focus();
for (let i = 0; i < 10; i++) await page.keyboard.press("ArrowLeft");
tell({ yaml: await page.locator("pre").textContent() });
await accessible("the editor with a zone");
await page.getByRole("button", { name: "Apply" }).click();
await page.getByText("Applied.").waitFor();
tell({ cameras: (await page.evaluate(() => fetch("/api/v1/cameras").then((r) => r.json()))).cameras });

// Events, with a picture.
await page.goto(`${base}/#events`);
await page.locator(".event img").first().evaluate((img) => img.complete && img.naturalWidth > 0 ? 0 : new Promise((r, fail) => { img.onload = r; img.onerror = fail; }));
await accessible("the events");

await page.goto(`${base}/#live`);
await page.locator("canvas[data-sequence]").waitFor();
const wrong = seen.errors.filter((e) => !/status of 40[13]/.test(e));
check(wrong.length === 0, "the console has errors", wrong);
tell({ done: true });
await chromium.close();
