// What the page knows: the account, contacts, chats, groups. Views listen to
// the parts that they show.
import { get, place } from "./api.js";
import { later, report } from "./dom.js";

export const state = {
  me: null, // the profile
  status: null,
  settings: null,
  contacts: new Map(), // by public_key
  people: new Map(), // those who are no contacts, as far as the daemon knows them
  chats: new Map(), // by id
  groups: new Map(), // by id
  communities: new Map(), // by id
  unread: 0, // in the activity centre
  open: "", // id of the open chat
};

const listeners = new Map();

// on calls back when a part has changed: me, status, contacts, chats, groups,
// communities, activity, open, requests, pictures. It returns what ends that.
export function on(parts, listener) {
  for (const part of parts.split(" ")) listeners.set(part, [...listeners.get(part) ?? [], listener]);
  return () => {
    for (const part of parts.split(" ")) listeners.set(part, listeners.get(part).filter((l) => l !== listener));
  };
}

const stirred = new Set();
let drawing = false;

// changed has the views of a part drawn anew, once for all that happens now.
export function changed(...parts) {
  for (const part of parts) stirred.add(part);
  if (drawing) return;
  drawing = true;
  queueMicrotask(() => {
    drawing = false;
    const who = new Set([...stirred].flatMap((part) => listeners.get(part) ?? []));
    stirred.clear();
    for (const listener of who) listener();
  });
}

const short = (key) => `${key.slice(0, 8)}…${key.slice(-4)}`;
export const mine = (key) => key === state.me?.public_key;
export const contact = (key) => state.contacts.get(key) ?? state.people.get(key);

// named is what somebody is called here; of somebody unknown what they say of
// themselves, which is only a claim.
export function named(key, author) {
  if (mine(key)) return state.me.name || state.me.alias;
  const known = state.contacts.get(key);
  if (known) return known.name;
  for (const group of state.groups.values()) {
    const member = group.members.find((m) => m.public_key === key);
    if (member) return member.name;
  }
  learn(key);
  return author?.display_name || state.people.get(key)?.name || short(key);
}

export const called = (key, author) => mine(key) ? "You" : named(key, author);

// What is not known of people is asked for once.
const asked = new Set();
const ask = later(100, async () => {
  for (const key of asked) {
    if (state.people.has(key)) continue;
    state.people.set(key, null); // not twice
    try {
      state.people.set(key, await get(place("contacts", key)));
      changed("contacts");
    } catch {
      // The key has to do for a name.
    }
  }
  asked.clear();
});

function learn(key) {
  if (!key || state.people.has(key) || asked.has(key)) return;
  asked.add(key);
  ask();
}

// The order of the API: chats at the top, then those with the newest activity.
const activity = (chat) => chat.last?.clock ?? chat.last_clock ?? 0;
const before = (a, b) => b.pinned - a.pinned || activity(b) - activity(a) || (a.id < b.id ? -1 : 1);

export const chatList = (hidden) => [...state.chats.values()].filter((c) => c.active || hidden).sort(before);

export function keepContact(c) {
  state.people.delete(c.public_key);
  state.contacts.set(c.public_key, c);
  const chat = state.chats.get(c.public_key);
  if (chat && chat.name !== c.name) state.chats.set(chat.id, { ...chat, name: c.name });
  changed("contacts", "chats");
}

export function keepChat(c) {
  state.chats.set(c.id, c);
  changed("chats");
}

export function keepGroup(g) {
  state.groups.set(g.id, g);
  changed("groups");
}

// channel returns a chat that is one of a community as what that says of it.
export const channel = (chat) => state.communities.get(chat?.community)?.channels.find((ch) => ch.id === chat.id);

export function keepCommunity(c) {
  if (c.joined || c.spectated) state.communities.set(c.id, c);
  else state.communities.delete(c.id);
  changed("communities", "chats");
}

// The loaders ask for what is in question and keep it.
export async function loadContacts() {
  const all = await get("/contacts");
  state.contacts = new Map(all.map((c) => [c.public_key, c]));
  for (const key of state.contacts.keys()) state.people.delete(key);
  changed("contacts");
}

export const loadContact = async (who) => {
  const c = await get(place("contacts", who));
  if (state.contacts.has(c.public_key) || c.state !== "none" || c.blocked || c.nickname || c.trust) keepContact(c);
  else {
    state.people.set(c.public_key, c);
    changed("contacts");
  }
  return c;
};

let hidden = false; // whether chats that are not in a list are known
export async function loadChats(all = hidden) {
  hidden = all;
  const chats = await get("/chats", { all });
  const open = state.chats.get(state.open);
  state.chats = new Map(chats.map((c) => [c.id, c]));
  if (open && !state.chats.has(open.id)) state.chats.set(open.id, open);
  changed("chats");
}

export async function loadChat(id) {
  const c = await get(place("chats", id));
  keepChat(c);
  return c;
}

export async function loadGroups() {
  state.groups = new Map((await get("/groups")).map((g) => [g.id, g]));
  changed("groups");
}

export async function loadGroup(id) { keepGroup(await get(place("groups", id))); }

export async function loadCommunities() {
  state.communities = new Map((await get("/communities")).map((c) => [c.id, c]));
  changed("communities", "chats");
}

export async function loadCommunity(id) {
  keepCommunity(await get(place("communities", id)).catch((error) => {
    if (error.status === 404) return { id }; // not followed any more
    throw error;
  }));
}

export async function loadActivity() {
  state.unread = (await get("/activities/counts")).unread;
  changed("activity");
}

export async function loadMe() {
  state.me = await get("/profile");
  changed("me");
}

export async function loadStatus() {
  state.status = await get("/status");
  changed("status");
  return state.status;
}

// watchStatus keeps the line about the network current while the page is seen.
export function watchStatus(every) {
  setInterval(() => {
    if (!document.hidden && state.connected) loadStatus().catch(report);
  }, every);
}
