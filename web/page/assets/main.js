// The page: which view is shown, who is logged in, how the device is.

import { listen, logIn, logOut, Refused, session, whoAmI } from "./api.js";
import { el } from "./dom.js";
import { editView } from "./edit.js";
import { eventsView } from "./events.js";
import { healthView } from "./health.js";
import { historyView } from "./history.js";
import { liveView } from "./live.js";

const views = { live: liveView, health: healthView, events: eventsView, history: historyView, edit: editView };
const main = document.getElementById("content");
const pill = document.getElementById("health");
const banner = document.getElementById("banner");
const button = document.getElementById("session");
const dialog = document.getElementById("login");

let view = null; // what is shown
let last = null; // the newest state
let turn = 0; // counts views: a slow one must not replace a later one

async function show() {
  const [name, argument] = (location.hash.slice(1) || "live").split("/");
  if (!Object.hasOwn(views, name)) return; // the skip link
  const own = ++turn;
  view?.close();
  view = null;
  for (const a of document.querySelectorAll("nav a")) {
    if (a.hash === "#" + name) a.setAttribute("aria-current", "page");
    else a.removeAttribute("aria-current");
  }
  if (session.role === "nobody") {
    main.replaceChildren(el("section", { class: "card" }, el("h2", {}, "Log in to see this device"),
      el("div", { class: "row" }, el("button", { type: "button", class: "primary", onclick: openLogin }, "Log in"))));
    return;
  }
  try {
    const made = await views[name](main, argument && decodeURIComponent(argument));
    if (own !== turn) {
      made.close();
      return;
    }
    view = made;
    if (last) view.state(last);
  } catch (error) {
    if (own === turn) main.replaceChildren(el("p", { class: "note bad" }, error.message));
    if (error instanceof Refused && error.status === 401) await begin();
  }
}

function heard(news, over) {
  banner.hidden = news !== null;
  if (news === null) {
    banner.textContent = "The device does not answer. It is tried again.";
    pill.dataset.health = "unknown";
    pill.textContent = "not reached";
    if (over) setTimeout(begin, 2000);
    return;
  }
  last = news;
  const { state, health } = news;
  const degraded = health.health === "good" && state.degraded.length > 0;
  pill.dataset.health = health.health;
  pill.toggleAttribute("data-degraded", degraded);
  const text = degraded ? "good, degraded" : health.health;
  if (pill.textContent !== text) pill.textContent = text;
  document.getElementById("device").textContent = state.device;
  document.title = `${health.health === "good" ? "" : health.health + " · "}${state.device} · Vedette`;
  view?.state(news);
}

let stop = null;

async function begin() {
  try {
    await whoAmI();
  } catch {
    heard(null, true);
    return;
  }
  stop?.();
  stop = null;
  button.hidden = !session.may_log_in;
  button.textContent = session.csrf ? `Log out (${session.role})` : "Log in";
  if (session.role === "nobody") {
    pill.textContent = "log in";
    pill.dataset.health = "unknown";
  } else {
    stop = listen(heard);
  }
  await show();
}

function openLogin() {
  dialog.querySelector(".error").textContent = "";
  dialog.showModal();
}

button.addEventListener("click", async () => {
  if (!session.csrf) return openLogin();
  await logOut();
  await begin();
});
dialog.querySelector("[value=cancel]").addEventListener("click", () => dialog.close());
dialog.querySelector("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const password = dialog.querySelector("[name=password]");
  try {
    await logIn(password.value);
  } catch (error) {
    dialog.querySelector(".error").textContent = error.message;
    password.select();
    return;
  }
  password.value = "";
  dialog.close();
  await begin();
});
window.addEventListener("hashchange", show);
begin();
