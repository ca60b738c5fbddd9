// Makes reference.json: what TensorFlow.js itself, on its CPU backend, finds in photographs.
//
//   npm install --ignore-scripts @tensorflow/tfjs@4.22.0
//   for p in messi5 vtest100 astronaut coffee; do /usr/bin/python3 picture.py $p $p.f32; done
//   node reference.mjs FOLDER messi5.f32 vtest100.f32 astronaut.f32 coffee.f32 >reference.json
//
// FOLDER holds centernet.json and centernet.bin; run it in the folder with node_modules.
import crypto from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { createRequire } from 'node:module';

const tf = createRequire(path.resolve('package.json'))('@tensorflow/tfjs');
await tf.setBackend('cpu');

const [folder, ...pictures] = process.argv.slice(2);
const description = JSON.parse(fs.readFileSync(path.join(folder, 'centernet.json')));
const weights = fs.readFileSync(path.join(folder, 'centernet.bin'));
const model = await tf.loadGraphModel({
  load: async () => ({
    modelTopology: description.modelTopology,
    weightSpecs: description.weightsManifest[0].weights,
    weightData: weights.buffer.slice(weights.byteOffset, weights.byteOffset + weights.length),
    format: description.format,
    signature: description.signature,
  }),
});

const least = 0.1; // scores below it are left out
const found = [];
for (const file of pictures) {
  const bytes = fs.readFileSync(file);
  const input = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
  const output = model.execute(tf.tensor(input, [1, 512, 512, 3]), 'tower_0/detections').arraySync()[0];
  found.push({
    picture: path.basename(file, '.f32'),
    // Of the input as uint8: another version of OpenCV may decode or resize differently.
    sha256: crypto.createHash('sha256').update(Uint8Array.from(input)).digest('hex'),
    rows: output.filter((row) => row[4] >= least).map((row) => row.map((v) => Number(v.toFixed(4)))),
  });
}
const list = found.map((f) => `  {"picture": "${f.picture}", "sha256": "${f.sha256}", "rows": [\n` +
  f.rows.map((row) => `    ${JSON.stringify(row)}`).join(',\n') + '\n  ]}').join(',\n');
console.log(`{"tfjs": "${tf.version.tfjs}", "pictures": [\n${list}\n]}`);
