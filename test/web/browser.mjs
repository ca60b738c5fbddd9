// Starts Debian's Chromium for the browser tests and the pictures.
import { chromium } from "playwright-core";

export async function browser() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    headless: true,
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
      "--force-color-profile=srgb", "--hide-scrollbars"],
  });
}

// watched gives a page whose mistakes are kept: errors in the console, exceptions, requests that fail or leave the host.
export async function watched(context, origin) {
  const page = await context.newPage();
  const seen = { errors: [], requests: [], bytes: 0 };
  page.on("console", (m) => m.type() === "error" && seen.errors.push(m.text()));
  page.on("pageerror", (e) => seen.errors.push(String(e)));
  page.on("request", (r) => {
    seen.requests.push(r.url());
    if (!r.url().startsWith(origin) && !r.url().startsWith("blob:")) seen.errors.push(`a request to another host: ${r.url()}`);
  });
  return { page, seen };
}
