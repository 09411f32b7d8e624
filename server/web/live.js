// The event stream: what has happened becomes a list of what to look at again.
// The page notes how far it has read, so that a stream that breaks is resumed
// without loss; what could not be looked at stays on the list.
import { Failure, forget, get, place, request } from "./api.js";
import { report } from "./dom.js";
import { changed, keepChat, loadActivity, loadChat, loadChats, loadCommunities, loadCommunity, loadContact, loadContacts, loadGroup, loadGroups, loadMe, loadStatus, state } from "./state.js";
import { notify } from "./notify.js";

const firstDelay = 500, lastDelay = 15000; // between attempts, in milliseconds
const silence = 60000; // a stream that says nothing for so long is dead
const calm = 60; // events are looked at together that come within so many milliseconds
const many = 25; // from so many on everything is loaded again

const stale = { chats: new Set(), messages: new Set(), contacts: new Set(), groups: new Set(), communities: new Set(), whole: new Set() };
let view; // the open chat: {put, drop, draft, reload}
export function setView(v) { view = v; }

function note({ type, data }) {
  switch (type) {
    case "message":
    case "message.changed":
    case "message.state":
      stale.chats.add(data.chat);
      if (data.chat === state.open) stale.messages.add(data.id);
      break;
    case "message.reaction":
    case "message.pin":
      if (data.chat === state.open) stale.messages.add(data.message);
      break;
    case "chat":
      stale.chats.add(data.id);
      break;
    case "chat.draft": {
      const chat = state.chats.get(data.chat);
      if (chat) keepChat({ ...chat, draft: data.text });
      view.draft(data);
      break;
    }
    case "contact.picture":
      stale.whole.add("pictures");
      // falls through
    case "contact":
    case "contact.request":
    case "contact.verification":
    case "presence":
      if (data.public_key !== state.me.public_key) stale.contacts.add(data.public_key);
      break;
    case "group":
      stale.groups.add(data.id);
      stale.chats.add(data.id);
      break;
    case "group.request":
      stale.whole.add("requests");
      break;
    case "community":
      stale.communities.add(data.id);
      if (!data.member) stale.whole.add("channels");
      break;
    case "community.request":
      stale.communities.add(data.community);
      break;
    case "activity":
    case "activity.read":
      stale.whole.add("activity");
      break;
    case "profile":
      stale.whole.add("me");
      break;
    case "history":
      stale.whole.add("status");
      break;
  }
}

// each does something for all of a set; what fails stays in it.
async function each(set, one, all) {
  const now = [...set];
  set.clear();
  try {
    if (now.length > many) await all();
    else await Promise.all(now.map((id) => one(id).catch((error) => {
      if (error.status !== 404) throw error; // it is no more
    })));
  } catch (error) {
    now.forEach((id) => set.add(id));
    throw error;
  }
}

let timer = 0, looking = false;
function soon(delay = calm) { timer ||= setTimeout(look, delay); }

async function look() {
  timer = 0;
  if (looking) return soon();
  looking = true;
  let delay = calm;
  try {
    const pictures = stale.whole.delete("pictures");
    if (pictures) forget("/contacts/");
    for (const id of stale.groups) forget(place("groups", id));
    if (stale.whole.delete("requests")) changed("requests");
    for (const [part, load] of [["activity", loadActivity], ["channels", loadChats], ["me", loadMe], ["status", loadStatus]]) {
      if (!stale.whole.delete(part)) continue;
      await load().catch((error) => { stale.whole.add(part); throw error; });
    }
    await each(stale.contacts, loadContact, loadContacts).catch((error) => { if (pictures) stale.whole.add("pictures"); throw error; });
    if (pictures) changed("pictures");
    await each(stale.groups, loadGroup, loadGroups);
    await each(stale.communities, loadCommunity, loadCommunities);
    await each(stale.chats, loadChat, loadChats);
    if (!state.open) stale.messages.clear();
    await each(stale.messages, async (id) => view.put(await get(place("messages", id)).catch((error) => {
      if (error.status === 404) view.drop(id);
      throw error;
    })), () => view.reload());
  } catch (error) {
    delay = lastDelay;
    if (state.connected) report(error);
  }
  looking = false;
  if ([...Object.values(stale)].some((set) => set.size > 0)) soon(delay);
}

// lines calls back for every line of a stream.
async function lines(stream, line, alive) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = "";;) {
    const { value, done } = await reader.read();
    if (done) return;
    alive();
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    parts.filter(Boolean).forEach(line);
  }
}

function connected(is, why = "") {
  state.connected = is;
  state.why = why;
  changed("status");
}

let wake = () => {};
addEventListener("online", () => wake());
document.addEventListener("visibilitychange", () => document.hidden || wake());

// follow reads the events after one, and goes on where it was when the stream
// breaks. It ends when the daemon refuses the token.
export async function follow(since) {
  let delay = firstDelay;
  for (let first = true;; first = false) {
    const stop = new AbortController();
    let quiet = 0;
    const alive = () => { clearTimeout(quiet); quiet = setTimeout(() => stop.abort(), silence); };
    try {
      alive();
      if (!first && (await loadStatus()).key !== state.me.key) return location.reload(); // of another account now
      const answer = await request(`/events?follow=true&since=${since}`, { signal: stop.signal });
      connected(true);
      soon(); // what could not be looked at before
      await lines(answer.body, (line) => {
        const event = JSON.parse(line);
        if (event.seq <= since) return;
        note(event);
        notify(event);
        since = event.seq;
        delay = firstDelay;
        soon();
      }, alive);
      throw new Failure("The daemon has ended the event stream.");
    } catch (error) {
      connected(false, error.message);
      if (error.status === 401) return report(error);
    } finally {
      clearTimeout(quiet);
    }
    await new Promise((go) => { wake = go; setTimeout(go, delay); });
    delay = Math.min(2 * delay, lastDelay);
  }
}

// said keeps what a call has answered before the event of it comes.
export function said(message) {
  view?.put(message);
  stale.chats.add(message.chat);
  soon();
}

