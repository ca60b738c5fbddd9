// The usual program in JavaScript: ffmpeg reads a video and makes it the model's size, onnxruntime-node runs YOLOX. A line of JSON for
// each frame.
//
// usage: node replay_node.mjs MODEL VIDEO; without arguments it only looks whether onnxruntime-node is there (NODE_PATH, or the
// folder's own node_modules).
import {spawn} from 'node:child_process';
import {createRequire} from 'node:module';

const ort = createRequire(import.meta.url)('onnxruntime-node');
const SIDE = 416, SCORE = 0.4, OVERLAP = 0.45, CLASSES = 80, PIXELS = SIDE * SIDE;

// Each output row's cell and stride.
const cells = [8, 16, 32].flatMap(stride => {
  const n = SIDE / stride;
  return Array.from({length: n * n}, (_, i) => [i % n, Math.floor(i / n), stride]);
});

function overlap(a, b) {
  const w = Math.min(a[2], b[2]) - Math.max(a[0], b[0]), h = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  if (w <= 0 || h <= 0) return 0;
  const area = box => (box[2] - box[0]) * (box[3] - box[1]);
  return w * h / (area(a) + area(b) - w * h);
}

function decode(rows) {
  const found = [];
  for (let i = 0; i < cells.length; i++) {
    const at = i * (5 + CLASSES);
    if (rows[at + 4] <= SCORE) continue;
    let best = 0;
    for (let k = 1; k < CLASSES; k++) if (rows[at + 5 + k] > rows[at + 5 + best]) best = k;
    const score = rows[at + 4] * rows[at + 5 + best];
    if (score <= SCORE) continue;
    const [column, row, stride] = cells[i];
    const x = (rows[at] + column) * stride, y = (rows[at + 1] + row) * stride;
    const w = Math.exp(rows[at + 2]) * stride / 2, h = Math.exp(rows[at + 3]) * stride / 2;
    found.push({class_id: best, score, box: [x - w, y - h, x + w, y + h]});
  }
  found.sort((a, b) => b.score - a.score);
  const kept = [];
  for (const f of found) if (kept.every(k => k.class_id !== f.class_id || overlap(k.box, f.box) <= OVERLAP)) kept.push(f);
  return kept;
}

async function main(model, video) {
  const session = await ort.InferenceSession.create(model);
  const fit = `scale=${SIDE}:${SIDE}:force_original_aspect_ratio=decrease:flags=bilinear,pad=${SIDE}:${SIDE}:0:0:color=0x727272`;
  const ffmpeg = spawn('ffmpeg', ['-v', 'error', '-i', video, '-vf', fit, '-pix_fmt', 'bgr24', '-f', 'rawvideo', '-'],
    {stdio: ['ignore', 'pipe', 'inherit']});
  const tensor = new Float32Array(3 * PIXELS);
  let waiting = Buffer.alloc(0);
  for await (const chunk of ffmpeg.stdout) {
    waiting = waiting.length ? Buffer.concat([waiting, chunk]) : chunk;
    while (waiting.length >= 3 * PIXELS) {
      for (let i = 0; i < PIXELS; i++) {
        tensor[i] = waiting[3 * i];
        tensor[PIXELS + i] = waiting[3 * i + 1];
        tensor[2 * PIXELS + i] = waiting[3 * i + 2];
      }
      waiting = waiting.subarray(3 * PIXELS);
      const input = new ort.Tensor('float32', tensor, [1, 3, SIDE, SIDE]);
      const output = await session.run({[session.inputNames[0]]: input});
      process.stdout.write(JSON.stringify({detections: decode(output[session.outputNames[0]].data)}) + '\n');
    }
  }
}

if (process.argv.length > 2) await main(process.argv[2], process.argv[3]);
