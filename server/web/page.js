// The web page of a Parley daemon: contacts, one open chat, live events.
// It only calls the API that everybody else uses.
"use strict";

const $ = (id) => document.getElementById(id);

// The token comes in the fragment once and stays in this tab.
const fragment = new URLSearchParams(location.hash.slice(1));
if (fragment.get("token")) {
  sessionStorage.setItem("token", fragment.get("token"));
  history.replaceState(null, "", location.pathname);
}
const headers = { Authorization: `Bearer ${sessionStorage.getItem("token") ?? ""}` };

const noToken = "The token is missing or wrong. Open this page by the address that “parley run” prints.";

let me = "";
let contacts = [];
let open = ""; // public_key of the open chat
let messages = new Map(); // id → message, of the open chat
const unread = new Set(); // public_key of chats with something new

async function call(method, path, body) {
  const response = await fetch(`/api/v1${path}`, {
    method,
    headers: body ? { ...headers, "Content-Type": "application/json" } : headers,
    body: body && JSON.stringify(body),
  });
  if (response.status === 401) throw new Error(noToken);
  const answer = await response.json();
  if (!response.ok) throw new Error([answer.message, answer.hint].filter(Boolean).join(". "));
  return answer;
}

function show(error) {
  $("error").textContent = error ? error.message : "";
  $("error").hidden = !error;
}

// act runs something that may fail and shows why it did.
async function act(f) {
  try {
    await f();
    show(null);
  } catch (error) {
    show(error);
  }
}

function element(tag, text, className) {
  const e = document.createElement(tag);
  e.textContent = text;
  if (className) e.className = className;
  return e;
}

const stateText = { sent: "request sent", received: "wants to be a contact", mutual: "", none: "not a contact" };

function drawContacts() {
  $("contacts").replaceChildren(...contacts.map((c) => {
    const button = element("button", "");
    const fresh = unread.has(c.public_key) && c.state !== "received";
    const state = c.blocked ? "blocked" : fresh ? "new" : stateText[c.state];
    button.append(element("span", c.name, "name"), element("span", state, `state ${state === "new" ? "new" : ""}`));
    button.title = c.key;
    button.setAttribute("aria-current", c.public_key === open);
    button.onclick = () => act(() => openChat(c.public_key));
    const li = document.createElement("li");
    li.append(button);
    return li;
  }));
  const current = contacts.find((c) => c.public_key === open);
  $("title").textContent = current ? current.name : "No chat open";
  $("send").hidden = !current;
  $("actions").replaceChildren();
  if (current && current.state === "received") {
    for (const [verb, label] of [["accept", "Accept"], ["reject", "Decline"]]) {
      const button = element("button", label, verb === "reject" ? "quiet" : "");
      button.onclick = () => act(async () => {
        await call("POST", `/contacts/${current.public_key}/${verb}`);
        await loadContacts();
      });
      $("actions").append(button);
    }
  }
}

function drawMessages() {
  const sorted = [...messages.values()].sort((a, b) => a.clock - b.clock || (a.id < b.id ? -1 : 1));
  $("messages").replaceChildren(...sorted.map((m) => {
    const mine = m.from === me;
    const li = element("li", m.text, mine ? "mine" : "");
    const time = new Date(m.timestamp).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    li.append(element("small", mine ? `${time} · ${m.state}` : time));
    return li;
  }));
  $("messages").scrollTop = $("messages").scrollHeight;
}

async function loadContacts() {
  contacts = await call("GET", "/contacts");
  drawContacts();
}

async function openChat(key) {
  const loaded = await call("GET", `/messages?limit=500&chat=${encodeURIComponent(key)}`);
  open = key;
  unread.delete(key);
  messages = new Map(loaded.map((m) => [m.id, m]));
  drawContacts();
  drawMessages();
  $("text").focus();
}

async function drawStatus() {
  const s = await call("GET", "/status");
  me = s.key;
  $("me").textContent = s.name || "Parley";
  $("key").textContent = s.key;
  const peers = s.node.peers.length;
  const parts = [`${s.network}, ${s.mode}`, `${peers} ${peers === 1 ? "peer" : "peers"}`];
  if (s.pending) parts.push(`${s.pending} to send`);
  if (s.history.active) parts.push("fetching missed messages");
  $("net").textContent = parts.join(" · ");
  return s;
}

// handle applies one event; what it says is all the page needs.
async function handle(event) {
  switch (event.type) {
    case "message":
      if (event.data.chat === open) {
        const m = await call("GET", `/messages/${event.data.id}`);
        messages.set(m.id, m);
        drawMessages();
      } else if (event.data.from !== me) {
        unread.add(event.data.chat);
        drawContacts();
      }
      break;
    case "message.state": {
      const m = messages.get(event.data.id);
      if (m) {
        m.state = event.data.state;
        drawMessages();
      }
      break;
    }
    case "contact":
    case "contact.request":
      await loadContacts();
      break;
  }
}

// follow reads the event stream and resumes it, from the last event on, when
// the connection breaks.
async function follow(since) {
  for (;;) {
    try {
      const response = await fetch(`/api/v1/events?follow=true&since=${since}`, { headers });
      if (response.status === 401) throw new Error(noToken);
      if (!response.ok) throw new Error("The event stream is refused.");
      show(null);
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let rest = "";;) {
        const { value, done } = await reader.read();
        if (done) break;
        const lines = (rest + value).split("\n");
        rest = lines.pop();
        for (const line of lines.filter(Boolean)) {
          const event = JSON.parse(line);
          await handle(event);
          since = event.seq;
        }
      }
    } catch (error) {
      show(error);
    }
    await new Promise((resolve) => setTimeout(resolve, 2000));
  }
}

$("add").onsubmit = (e) => {
  e.preventDefault();
  act(async () => {
    const c = await call("POST", "/contacts", { who: $("who").value, message: $("hello").value });
    $("add").reset();
    await loadContacts();
    await openChat(c.public_key);
  });
};

$("send").onsubmit = (e) => {
  e.preventDefault();
  const text = $("text").value;
  act(async () => {
    const m = await call("POST", "/messages", { to: open, text });
    $("text").value = "";
    messages.set(m.id, m);
    drawMessages();
  });
};

act(async () => {
  const s = await drawStatus();
  await loadContacts();
  $("adding").open = contacts.length === 0;
  if (contacts.length) await openChat(contacts[0].public_key);
  setInterval(() => act(drawStatus), 5000);
  follow(s.last_event);
});
