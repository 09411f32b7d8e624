// Calls of the daemon's API, the same that everybody else uses.

// The token comes in the fragment of the address once and stays in this tab.
const fragment = new URLSearchParams(location.hash.slice(1));
if (fragment.get("token")) {
  sessionStorage.setItem("token", fragment.get("token"));
  history.replaceState(null, "", location.pathname);
}

const base = "/api/v1";

// Failure says why a call failed, in words for people.
export class Failure extends Error {
  constructor(message, status = 0, kind = "unreachable") {
    super(message);
    this.status = status;
    this.kind = kind;
  }
}

export const noToken = "The token is missing or wrong. Open this page by the address that “parley run” prints.";

// place makes a path of its parts.
export const place = (...parts) => parts.map((part) => `/${encodeURIComponent(part)}`).join("");

// query makes the query of what is not empty.
function query(values = {}) {
  const all = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    if (value !== undefined && value !== "" && value !== 0 && value !== false) all.append(name, value);
  }
  const text = all.toString();
  return text && `?${text}`;
}

// request makes a request; its answer is a successful one.
export async function request(path, options = {}) {
  const headers = { Authorization: `Bearer ${sessionStorage.getItem("token") ?? ""}` };
  if (options.body) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(base + path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure("The daemon does not answer. Is “parley run” still running?");
  }
  if (answer.ok) return answer;
  if (answer.status === 401) throw new Failure(noToken, 401, "denied");
  const body = await answer.json().catch(() => ({}));
  const words = [body.message, body.hint].filter(Boolean).map((s) => s[0].toUpperCase() + s.slice(1));
  throw new Failure(words.join(". ") || `The daemon answers with status ${answer.status}.`, answer.status, body.kind);
}

export async function get(path, values) {
  return (await request(path + query(values))).json();
}

export async function post(path, body, options = {}) {
  const answer = await request(path, { ...options, method: "POST", body: body === undefined ? undefined : JSON.stringify(body) });
  return answer.json();
}

// Files are fetched with the token, so a page shows them by addresses that it
// makes itself. So many are kept, and so many fetched at a time: the rest of
// the connections that a browser has for one daemon are for calls.
const keptFiles = 300;
const fetchedFiles = 3;
const files = new Map(); // path → promise of an address
let fetching = 0;
const waiting = [];

async function turn(work) {
  if (fetching >= fetchedFiles) await new Promise((go) => waiting.push(go));
  fetching++;
  try {
    return await work();
  } finally {
    fetching--;
    waiting.shift()?.();
  }
}

// file returns an address of what the API has at a path, for this page alone.
export function file(path) {
  let address = files.get(path);
  files.delete(path);
  address ??= turn(async () => URL.createObjectURL(await (await request(path)).blob()));
  files.set(path, address); // the newest is the last
  address.catch((error) => {
    if (error.status !== 404) files.delete(path); // what is not there is not asked for again
  });
  if (files.size > keptFiles) {
    const [oldest, old] = files.entries().next().value;
    files.delete(oldest);
    letGo(old);
  }
  return address;
}

// forget drops the files of paths with a beginning: they have changed.
export function forget(beginning) {
  for (const [path, address] of files) {
    if (!path.startsWith(beginning)) continue;
    files.delete(path);
    letGo(address);
  }
}

// letGo frees a file, a while after nobody can ask for it any more.
const grace = 60000; // milliseconds
function letGo(address) {
  setTimeout(() => address.then(URL.revokeObjectURL, () => {}), grace);
}

// base64 reads a file as the API takes it.
export function base64(blob) {
  return new Promise((done, failed) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => failed(new Failure(`The file ${blob.name ?? ""} cannot be read.`, 0, "invalid"));
    reader.readAsDataURL(blob);
  });
}
