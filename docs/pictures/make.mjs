// Makes the README's pictures from the real program: page.jpg, what Chromium shows of the demonstration's page, and demo.svg, what the
// demonstration says in a terminal, in its own time.
//
//   make build && cd test/web && npm ci --ignore-scripts && node ../../docs/pictures/make.mjs ../../build/vedette-amd64

import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { createInterface } from "node:readline";
import { browser } from "../../test/web/browser.mjs";

const binary = process.argv[2];
const here = new URL(".", import.meta.url);

const probe = createServer().listen(0, "127.0.0.1");
await once(probe, "listening");
const address = `127.0.0.1:${probe.address().port}`;
probe.close();

const built = new URL("../../build/", import.meta.url).pathname;
const demo = spawn(binary, ["demo", "--web", address], {
  stdio: ["ignore", "pipe", "inherit"],
  env: { VEDETTE_ONNXRUNTIME: `${built}onnxruntime/${process.arch === "x64" ? "amd64" : "arm64"}/libonnxruntime.so`, VEDETTE_MODEL: `${built}models/coco.onnx`, ...process.env },
});
const lines = [];
createInterface({ input: demo.stdout }).on("line", (text) => lines.push({ at: Date.now(), text }));
try {
  for (let i = 0; i < 100 && !(await fetch(`http://${address}/healthz`).catch(() => null)); i++) await new Promise((r) => setTimeout(r, 200));
  const chromium = await browser();
  const page = await chromium.newPage({ viewport: { width: 1120, height: 790 }, deviceScaleFactor: 1.5 });
  await page.goto(`http://${address}/`);
  await page.locator("canvas[data-sequence]").waitFor({ timeout: 60000 });
  await page.getByText("pictures/s").waitFor({ timeout: 60000 });
  await page.screenshot({ path: new URL("page.jpg", here).pathname, type: "jpeg", quality: 80 });
  await chromium.close();
  while (lines.length < 20) await new Promise((r) => setTimeout(r, 100)); // and those of a few quiet seconds
} finally {
  demo.kill("SIGINT");
}
await writeFile(new URL("demo.svg", here), animation(lines));

// animation shows the first lines at once, then each in the time that it took; after a pause it begins anew.
function animation(all) {
  const detections = all.filter((l) => /\[\d/.test(l.text)).slice(-12);
  const head = all.filter((l) => !/^\d\d:/.test(l.text));
  const typed = 1.2;
  const shown = [
    { at: 0, text: "$ vedette demo", prompt: true },
    ...head.map((l, i) => ({ at: typed + 0.05 * i, text: l.text })),
    ...detections.map((l) => ({ at: typed + 0.9 + (l.at - detections[0].at) / 1000, text: l.text })),
  ];
  const whole = shown.at(-1).at + 4;
  const columns = Math.min(Math.max(...shown.map((l) => l.text.length)), 118);
  const [wide, high, top] = [columns * 8.43 + 36, shown.length * 20 + 62, 52];
  const escape = (s) => s.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const frames = shown.map((l, i) => {
    const from = ((100 * l.at) / whole).toFixed(2);
    return i === 0 ? "" : `@keyframes l${i}{0%,${from}%{opacity:0}${(Number(from) + 0.01).toFixed(2)}%,100%{opacity:1}}#l${i}{animation:l${i} ${whole.toFixed(1)}s linear infinite}`;
  });
  const text = shown.map((l, i) => `<text id="l${i}" x="18" y="${top + 20 * i}"${l.prompt ? ' class="p"' : ""}>${colour(escape(l.text.slice(0, columns)))}</text>`);
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${wide.toFixed(0)} ${high}" width="${wide.toFixed(0)}" height="${high}" role="img" aria-label="vedette demo in a terminal: a line for each frame, with what was seen and where">
<style>text{font:14px ui-monospace,"DejaVu Sans Mono",Menlo,monospace;fill:#e7efed;white-space:pre}.p{fill:#3fd6b8}.a{fill:#5fe3d0}.b{fill:#ffb86b}.s{fill:#8fa29e}${frames.join("")}@media(prefers-reduced-motion:reduce){text{animation:none!important}}</style>
<rect width="100%" height="100%" rx="10" fill="#0e1413"/><circle cx="22" cy="20" r="6" fill="#ff6159"/><circle cx="42" cy="20" r="6" fill="#ffbd2e"/><circle cx="62" cy="20" r="6" fill="#28c941"/>
${text.join("\n")}
</svg>
`;
}

function colour(line) {
  return line.replace(/person [\d.]+/g, '<tspan class="a">$&</tspan>').replace(/cup [\d.]+/g, '<tspan class="b">$&</tspan>')
    .replace(/^\d\d:\d\d:[\d.]+|\[[\d. ]+\]|\(\d+ ms\)/g, '<tspan class="s">$&</tspan>');
}
