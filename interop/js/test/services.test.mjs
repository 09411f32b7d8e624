// The services of one node as the SDK uses them in Node.
import { after, before, test } from "node:test";
import { Parley } from "../lib/parley.mjs";
import * as scenarios from "../lib/scenarios.mjs";

let node;
before(async () => { node = await Parley.start(); }, { timeout: 120_000 });
after(() => node?.stop(), { timeout: 120_000 });

for (const name of ["metadata", "lightpush", "filter", "store"]) {
  test(name, { timeout: 240_000 }, () => scenarios[name](node.ws, "node"));
}
