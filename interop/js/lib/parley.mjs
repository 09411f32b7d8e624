// A Parley service node as a process, and its REST API.
import { spawn, execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import readline from "node:readline";

const here = import.meta.dirname;
// A start that takes longer has failed.
const patience = 90_000;

let program = process.env.PARLEY_BIN;

// parleyProgram is the path of the binary, which is built unless PARLEY_BIN
// names one.
export function parleyProgram() {
  if (!program) {
    const folder = mkdtempSync(path.join(tmpdir(), "parley-interop-"));
    process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
    program = path.join(folder, "parley");
    execFileSync("go", ["build", "-o", program, "./cmd/parley"], {
      cwd: path.join(here, "..", "..", ".."), stdio: "inherit",
    });
  }
  return program;
}

// Parley is a running node.
export class Parley {
  // start starts `parley node` with plain WebSocket and a REST API on
  // loopback, for shards 32, 64 and 128 of cluster 16, and waits until it is
  // ready. Its messages have at most 150 kB, as everywhere but in the Status
  // networks.
  static async start(...args) {
    const home = mkdtempSync(path.join(tmpdir(), "parley-interop-"));
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(PARLEY|XDG)_/.test(name)));
    const child = spawn(parleyProgram(), [
      "node", "--network", "local", "--cluster", "16", "--shard", "32,64,128",
      "--listen", "/ip4/127.0.0.1/tcp/0", "--ws", "127.0.0.1:0", "--rest", "127.0.0.1:0", "--lightpush-rate", "0",
      ...args,
    ], { env: { ...env, HOME: home }, stdio: ["ignore", "pipe", "pipe"] });
    const node = new Parley();
    node.child = child;
    node.home = home;
    node.log = "";
    child.stderr.on("data", (chunk) => { node.log += chunk; });
    node.ended = new Promise((resolve) => child.on("close", (code, signal) => resolve(signal ?? code)));
    const lines = readline.createInterface({ input: child.stdout });
    const line = await Promise.race([
      new Promise((resolve) => lines.once("line", resolve)),
      node.ended.then((code) => { throw new Error(`parley ended with ${code}: ${node.log}`); }),
      later(patience, () => new Error(`parley is not ready: ${node.log}`)),
    ]);
    node.ready = JSON.parse(line);
    return node;
  }

  get ws() { return this.ready.multiaddrs.find((address) => address.includes("/ws")); }

  // call makes a call of the REST API, which must succeed, and returns what it
  // answers.
  async call(method, url, body) {
    const answer = await fetch(this.ready.rest + url, {
      method, headers: { "content-type": "application/json" }, signal: AbortSignal.timeout(patience),
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await answer.text();
    if (!answer.ok) {
      throw new Error(`${method} ${url}: ${answer.status} ${text}`);
    }
    return answer.headers.get("content-type")?.includes("json") ? JSON.parse(text) : text;
  }

  // stop ends the node as ctrl-c does; it must end well.
  async stop() {
    this.child.kill("SIGINT");
    const code = await Promise.race([this.ended, later(patience, () => new Error("parley does not end"))]);
    rmSync(this.home, { recursive: true, force: true });
    if (code !== 0) {
      throw new Error(`parley ended with ${code}: ${this.log}`);
    }
  }
}

// later fails after a time, without keeping the process alive.
function later(ms, error) {
  return new Promise((_, reject) => setTimeout(() => reject(error()), ms).unref());
}
