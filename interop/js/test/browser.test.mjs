// The same services of one node as the SDK uses them in a browser: headless
// Chromium with a page served on loopback.
import { after, before, test } from "node:test";
import { createServer } from "node:http";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { build } from "esbuild";
import { chromium } from "playwright-core";
import { Parley } from "../lib/parley.mjs";

const limit = { timeout: 240_000 };
const profile = mkdtempSync(path.join(tmpdir(), "parley-interop-"));
const program = process.env.CHROMIUM ?? "/usr/bin/chromium";

let node, server, browser, page;
const said = []; // what the page prints, for when something fails

// bundle makes one script of the page and everything it imports.
async function bundle() {
  const result = await build({
    entryPoints: [path.join(import.meta.dirname, "..", "browser", "page.mjs")],
    bundle: true, write: false, format: "esm", platform: "browser", target: "chrome120",
    define: { global: "globalThis" }, logLevel: "warning",
  });
  return result.outputFiles[0].text;
}

before(async () => {
  const [script, started] = await Promise.all([bundle(), Parley.start()]);
  node = started;
  server = createServer((request, answer) => {
    const isScript = request.url === "/page.js";
    answer.setHeader("content-type", isScript ? "text/javascript" : "text/html");
    answer.end(isScript ? script : "<!doctype html><title>interop</title><script type=module src=/page.js></script>");
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  browser = await chromium.launchPersistentContext(profile, {
    executablePath: program, headless: true, timeout: 120_000, ignoreDefaultArgs: ["--enable-automation"],
    args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
      "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
  page = await browser.newPage();
  page.setDefaultTimeout(limit.timeout);
  page.on("console", (message) => said.push(message.text()));
  page.on("pageerror", (error) => said.push(String(error)));
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  await page.waitForFunction(() => globalThis.scenario !== undefined);
}, limit);

after(async () => {
  await browser?.close();
  server?.close();
  await node?.stop();
  rmSync(profile, { recursive: true, force: true });
}, limit);

for (const name of ["metadata", "lightpush", "filter", "store"]) {
  test(`${name} in ${path.basename(program)}`, limit, async () => {
    try {
      await page.evaluate(([scenario, ws]) => globalThis.scenario(scenario, ws), [name, node.ws]);
    } catch (error) {
      throw new Error(`${error.message}\nThe page has said:\n${said.join("\n")}`, { cause: error });
    }
  });
}
