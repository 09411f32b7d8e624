// A Parley daemon of somebody as a process, its API and its web page.
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import readline from "node:readline";
import { parleyProgram } from "./parley.mjs";

// What takes longer has failed.
const patience = 90_000;

const later = (error) => new Promise((_, reject) => setTimeout(() => reject(error()), patience).unref());

export class Daemon {
  // start makes an account and starts its daemon beside a node.
  static async start(name, node) {
    const daemon = new Daemon();
    daemon.name = name;
    daemon.node = node;
    daemon.home = mkdtempSync(path.join(tmpdir(), "parley-page-"));
    const secret = path.join(daemon.home, "password");
    writeFileSync(secret, "correct horse battery staple\n");
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(PARLEY|XDG)_/.test(name)));
    daemon.env = { ...env, HOME: daemon.home, PARLEY_PASSWORD_FILE: secret };
    const made = execFileSync(parleyProgram(), ["account", "create", "--data-dir", daemon.home, "--name", name, "--json"],
      { env: daemon.env, stdio: ["ignore", "pipe", "pipe"] });
    daemon.key = JSON.parse(made).public_key;
    await daemon.run("127.0.0.1:0");
    return daemon;
  }

  // run starts the daemon with its API at an address.
  async run(address) {
    const child = spawn(parleyProgram(), ["run", "--data-dir", this.home, "--json", "--network", "local",
      "--api-listen", address, "--peer", this.node, "--store", this.node], { env: this.env, stdio: ["ignore", "pipe", "pipe"] });
    let log = "";
    child.stderr.on("data", (chunk) => { log += chunk; });
    this.child = child;
    this.ended = new Promise((resolve) => child.on("close", (code, signal) => resolve(signal ?? code)));
    const line = await Promise.race([
      new Promise((resolve) => readline.createInterface({ input: child.stdout }).once("line", resolve)),
      this.ended.then((code) => { throw new Error(`the daemon of ${this.name} ended with ${code}: ${log}`); }),
      later(() => new Error(`the daemon of ${this.name} is not ready: ${log}`)),
    ]);
    const ready = JSON.parse(line);
    this.api = ready.api;
    this.web = ready.web;
    this.token = new URL(ready.web).hash.slice("#token=".length);
  }

  // halt ends the daemon as ctrl-c does; again starts it where it was.
  async halt() {
    this.child.kill("SIGINT");
    await Promise.race([this.ended, later(() => new Error(`the daemon of ${this.name} does not end`))]);
  }

  again() { return this.run(new URL(this.api).host); }

  async stop() {
    await this.halt();
    rmSync(this.home, { recursive: true, force: true });
  }

  // call makes a call of the API, which must succeed.
  async call(method, url, body) {
    const answer = await fetch(`${this.api}/api/v1${url}`, {
      method, headers: { authorization: `Bearer ${this.token}`, "content-type": "application/json" }, signal: AbortSignal.timeout(patience),
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await answer.text();
    if (!answer.ok) {
      throw new Error(`${method} ${url}: ${answer.status} ${text}`);
    }
    return JSON.parse(text);
  }
}
