// What the page asks the device for. docs/WEB.md describes it; /api/v1/openapi.json is for programs.

export const session = { role: "nobody", csrf: "", may_log_in: false, unchangeable: "" };

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export async function ask(path, options = {}) {
  const headers = { ...(options.body ? { "Content-Type": "application/json" } : {}) };
  if (options.method && session.csrf) headers["X-Csrf-Token"] = session.csrf;
  const response = await fetch("/api/v1/" + path, { cache: "no-store", ...options, headers });
  if (response.ok) return response;
  let why = response.statusText;
  try {
    why = (await response.json()).error;
  } catch {
    // It was no answer of ours.
  }
  throw new Refused(response.status, why);
}

export const get = async (path) => (await ask(path)).json();

async function take(response) {
  Object.assign(session, { csrf: "", unchangeable: "" }, await response.json());
  return session;
}

export const whoAmI = async () => take(await ask("session"));
export const logIn = async (password) => take(await ask("session", { method: "POST", body: JSON.stringify({ password }) }));

export async function logOut() {
  await ask("session", { method: "DELETE" });
  return whoAmI();
}

export const setRegions = (camera, regions) =>
  ask(`cameras/${encodeURIComponent(camera)}/regions`, { method: "PUT", body: JSON.stringify(regions) });

// listen calls back with each state of the device, and with null when it cannot be reached.
export function listen(heard) {
  const source = new EventSource("/api/v1/changes");
  source.addEventListener("state", (e) => heard(JSON.parse(e.data)));
  source.addEventListener("error", () => heard(null, source.readyState === EventSource.CLOSED));
  return () => source.close();
}
