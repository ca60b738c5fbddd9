// Writes what the editor knows as YAML, in the configuration's own form.

const scalar = (v) => (typeof v === "number" || typeof v === "boolean" ? String(v) : JSON.stringify(v)); // JSON's strings are YAML's
const flow = (v) => (Array.isArray(v) ? `[${v.map(flow).join(", ")}]`
  : v !== null && typeof v === "object" ? `{${Object.entries(v).map(([k, w]) => `${k}: ${flow(w)}`).join(", ")}}` : scalar(v));

// What is as it is without a word is left out.
const said = ([, v]) => v !== null && v !== "" && v !== 0 && v !== false && v !== "0s" && !(Array.isArray(v) && v.length === 0);

export function regionsYAML(camera, { masks, zones, lines }) {
  const out = ["cameras:", `  - name: ${camera}`, "    # … its source and the rest stay as they are"];
  out.push(masks.length ? "    masks:" : "    masks: []", ...masks.map((m) => `      - ${flow(m)}`));
  for (const [key, all] of [["zones", zones], ["lines", lines]]) {
    const names = Object.keys(all);
    out.push(names.length ? `    ${key}:` : `    ${key}: {}`);
    for (const name of names) {
      out.push(`      ${name}:`);
      for (const [k, v] of Object.entries(all[name]).filter(said)) out.push(`        ${k}: ${flow(v)}`);
    }
  }
  return out.join("\n") + "\n";
}
