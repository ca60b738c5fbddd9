// Draws a frame, and over it what was seen in that very frame.

// Bright colours, each with black text at a contrast of 7 at least.
const COLOURS = ["#ffd166", "#6fdc9e", "#7cc7ff", "#ff9a93", "#d6a8ff", "#5fe3d0", "#ffb86b", "#c6e26b"];

export function colourOf(label) {
  let sum = 0;
  for (const c of label) sum = (sum * 31 + c.codePointAt(0)) >>> 0;
  return COLOURS[sum % COLOURS.length];
}

export function draw(canvas, bitmap, message, camera) {
  const { width, height } = canvas;
  const g = canvas.getContext("2d");
  g.drawImage(bitmap, 0, 0, width, height);
  const unit = Math.max(width / 640, 1); // a line that is seen on any screen
  const size = Math.round(Math.max(13 * Math.min(devicePixelRatio, 2), 13 * unit));
  g.font = `600 ${size}px system-ui, sans-serif`;
  g.textBaseline = "middle";
  regions(g, width, height, unit, size, camera);
  const labels = [];
  for (const d of message.detections ?? []) {
    const [x1, y1, x2, y2] = [d.box[0] * width, d.box[1] * height, d.box[2] * width, d.box[3] * height];
    const colour = colourOf(d.label);
    g.lineWidth = 3 * unit;
    g.strokeStyle = colour;
    g.strokeRect(x1, y1, x2 - x1, y2 - y1);
    const id = d.track_id ? ` #${d.track_id.split("-").at(-1)}` : ""; // what goes before is the same for all of a start
    labels.push({ text: `${d.label}${id} ${Math.round(d.score * 100)}%`, x: x1, y: y1, colour });
  }
  for (const l of labels) label(g, width, size, l); // above every box
}

function label(g, width, size, { text, x, y, colour }) {
  const pad = Math.round(size / 3);
  const w = Math.ceil(g.measureText(text).width) + 2 * pad;
  const h = size + 2 * pad;
  const left = Math.max(0, Math.min(x, width - w));
  const top = y >= h ? y - h : y;
  g.fillStyle = colour;
  g.fillRect(left, top, w, h);
  g.fillStyle = "#000";
  g.fillText(text, left + pad, top + h / 2);
}

function regions(g, width, height, unit, size, camera) {
  const path = (points, close) => {
    g.beginPath();
    points.forEach(([x, y], i) => (i ? g.lineTo(x * width, y * height) : g.moveTo(x * width, y * height)));
    if (close) g.closePath();
    g.stroke();
  };
  g.save();
  g.lineWidth = 2 * unit;
  g.setLineDash([8 * unit, 5 * unit]);
  for (const [name, zone] of Object.entries(camera.zones ?? {})) {
    g.strokeStyle = "#fff";
    path(zone.polygon, true);
    const [x, y] = zone.polygon.reduce((a, p) => (p[1] < a[1] ? p : a));
    label(g, width, size, { text: name, x: x * width, y: Math.min(y * height + 2 * size, height), colour: "#fff" });
  }
  g.setLineDash([]);
  for (const [name, line] of Object.entries(camera.lines ?? {})) {
    g.strokeStyle = "#7cc7ff";
    path([line.from, line.to], false);
    arrow(g, width, height, unit, line);
    label(g, width, size, { text: name, x: line.from[0] * width, y: line.from[1] * height, colour: "#7cc7ff" });
  }
  g.restore();
}

// arrow shows which way is forward over a line: to the right of who walks from its beginning to its end.
function arrow(g, width, height, unit, { from, to }) {
  const [ax, ay, bx, by] = [from[0] * width, from[1] * height, to[0] * width, to[1] * height];
  const length = Math.hypot(bx - ax, by - ay) || 1;
  const [nx, ny] = [-(by - ay) / length, (bx - ax) / length];
  const [mx, my] = [(ax + bx) / 2, (ay + by) / 2];
  g.beginPath();
  g.moveTo(mx, my);
  g.lineTo(mx + nx * 18 * unit, my + ny * 18 * unit);
  g.stroke();
}
