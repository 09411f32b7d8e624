// Mentions while they are written: names on the screen, keys in the message.
import { $, h } from "./dom.js";
import { avatar, everyone, mention, mentioned } from "./people.js";
import { mine, state } from "./state.js";

const most = 8;
const field = $("text"), list = $("suggestions");
let names = new Map(); // @name → key, of the text that is written
let found = [], at = 0, from = 0;

// people are those who can be called in the open chat.
function people() {
  const chat = state.chats.get(state.open);
  if (chat?.kind === "one_to_one") return [{ key: chat.id, name: chat.name }];
  const members = state.groups.get(state.open)?.members ?? [];
  return [...members.filter((m) => !mine(m.public_key)).map((m) => ({ key: m.public_key, name: m.name })), { key: everyone, name: "everyone" }];
}

// keyed has keys for the names of a text, as it is sent.
export function keyed(text) {
  for (const [name, key] of [...names].sort((a, b) => b[0].length - a[0].length)) text = text.replaceAll(name, `@${key}`);
  return text;
}

// shown has names for the keys of a text, as it is written.
export function shown(text) {
  names = new Map();
  return text.replace(mention, (_, key) => {
    const name = `@${mentioned(key.toLowerCase())}`;
    if (names.has(name) && names.get(name) !== key) return `@${key}`; // two of one name
    names.set(name, key);
    return name;
  });
}

export function clear() {
  names = new Map();
  hide();
}

export function hide() {
  found = [];
  list.hidden = true;
  field.removeAttribute("aria-activedescendant");
}

// suggest looks for the name that is begun where the cursor is.
export function suggest() {
  const begun = field.value.slice(0, field.selectionStart).match(/(?:^|\s)@([\p{L}\p{N} ._-]{0,24})$/u);
  if (!begun) return hide();
  const word = begun[1].toLowerCase();
  from = field.selectionStart - begun[1].length - 1;
  found = people().filter((p) => p.name.toLowerCase().split(/\s+/).some((w) => w.startsWith(word)) || p.name.toLowerCase().startsWith(word)).slice(0, most);
  at = 0;
  if (found.length === 0) return hide();
  draw();
}

function draw() {
  list.replaceChildren(...found.map((p, i) => h("li", {
    id: `suggestion-${i}`, role: "option", "aria-selected": String(i === at), onmousedown: (e) => { e.preventDefault(); take(i); },
  }, p.key === everyone ? null : avatar(p.key, p.name, "small"), p.key === everyone ? "everyone in the group" : p.name)));
  list.hidden = false;
  field.setAttribute("aria-activedescendant", `suggestion-${at}`);
}

function take(i) {
  const { key, name } = found[i];
  const label = names.has(`@${name}`) && names.get(`@${name}`) !== key ? `@${key}` : `@${name}`;
  if (label === `@${name}`) names.set(label, key);
  field.setRangeText(`${label} `, from, field.selectionStart, "end");
  hide();
  field.dispatchEvent(new Event("input"));
}

// keydown handles the keys that choose a name; it tells whether it did.
export function keydown(e) {
  if (found.length === 0) return false;
  switch (e.key) {
    case "ArrowDown": at = (at + 1) % found.length; break;
    case "ArrowUp": at = (at - 1 + found.length) % found.length; break;
    case "Enter":
    case "Tab": take(at); return true;
    case "Escape": hide(); return true;
    default: return false;
  }
  draw();
  return true;
}
