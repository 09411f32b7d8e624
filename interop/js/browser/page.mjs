// What the page in the browser offers to the test: the scenarios by name.
import * as scenarios from "../lib/scenarios.mjs";

globalThis.scenario = async (name, ws) => {
  await scenarios[name](ws, "browser");
};
