// The web page of a Parley daemon: where it begins, and which view is shown. It
// only calls the API that everybody else uses.
import { noToken } from "./api.js";
import { $, act, h, icon, report } from "./dom.js";
import { avatar } from "./people.js";
import { loadActivity, loadChats, loadCommunities, loadContacts, loadGroups, loadMe, loadStatus, on, state, watchStatus } from "./state.js";
import { follow } from "./live.js";
import { open, shut } from "./conversation.js";
import { chatsView } from "./chats.js";
import { contactsView } from "./contacts.js";
import { activityView } from "./activity.js";
import { searchView } from "./search.js";
import { profileDialog } from "./profile.js";

const statusEvery = 5000; // milliseconds
const views = { chats: chatsView, contacts: contactsView, activity: activityView, search: searchView };
const pictures = { chats: "chats", contacts: "people", activity: "bell", search: "search" };
let current = { name: "", stop() {} };

function view(name, argument = "") {
  if (current.name === name && current.argument === argument) return;
  current.stop();
  const made = views[name](argument);
  current = { ...made, name, argument };
  $("view").replaceChildren(made.node);
  for (const link of document.querySelectorAll("nav a")) link.setAttribute("aria-current", link.dataset.view === name ? "page" : "false");
}

// route shows what the address says: #/chat/<id>, or #/<view>.
async function route() {
  if (location.hash.startsWith("#token=")) return location.reload();
  const [, what = "", argument = ""] = location.hash.split("/");
  if (what === "chat" && argument) {
    if (!current.name) view("chats");
    const id = decodeURIComponent(argument);
    if (id !== state.open) await act(() => open(id).catch((error) => {
      if (error.status) shut(); // there is no such chat
      throw error;
    }));
    return;
  }
  view(views[what] ? what : "chats", decodeURIComponent(argument));
  document.body.dataset.pane = "list";
  if (!what && state.open) shut();
}

function drawStatus() {
  const s = state.status;
  const parts = [];
  if (state.connected === false) parts.push(`Not connected: ${state.why} Trying again…`);
  else if (s) {
    const peers = s.node.peers?.length ?? 0;
    parts.push(`${s.network}, ${s.mode}`, `${peers} ${peers === 1 ? "peer" : "peers"}`);
    if (s.pending) parts.push(`${s.pending} to send`);
    if (s.history?.active) parts.push("fetching missed messages");
  }
  const text = parts.join(" · ");
  if ($("net").textContent !== text) $("net").textContent = text;
  $("net").classList.toggle("bad", state.connected === false);
  $("offline").hidden = state.connected !== false; // where the line above is out of sight
}

function drawMe() {
  const name = state.me.name || state.me.alias;
  $("me").replaceChildren(avatar(state.me.public_key, name, "medium"), h("h1", null, name));
  $("me").title = "Your profile and settings";
}

on("status", drawStatus);
on("me pictures", () => state.me && drawMe());

for (const link of document.querySelectorAll("nav a")) link.prepend(icon(pictures[link.dataset.view]));
$("send").prepend(icon("send"));
for (const [id, name] of [["add-pictures", "picture"], ["add-sound", "sound"], ["add-emoji", "smile"], ["to-end", "down"]]) $(id).prepend(icon(name));
$("me").addEventListener("click", () => state.me && profileDialog());
addEventListener("keydown", (e) => {
  if ((e.ctrlKey || e.metaKey) && e.key === "k") {
    e.preventDefault();
    location.hash = "#/search";
  }
});

async function start() {
  if (!sessionStorage.getItem("token")) throw new Error(noToken);
  // What happens while the rest is loaded comes with the events after this.
  const { last_event: since } = await loadStatus();
  await Promise.all([loadMe(), loadContacts(), loadGroups(), loadCommunities(), loadActivity()]);
  await loadChats();
  addEventListener("hashchange", route);
  document.body.classList.remove("starting");
  await route();
  watchStatus(statusEvery);
  follow(since);
}

function failed(error) {
  document.body.classList.remove("starting");
  document.body.classList.add("failed");
  $("net").textContent = "";
  $("view").replaceChildren(h("div", { class: "empty" }, h("p", { role: "alert" }, error.message), h("button", { type: "button", onclick: () => location.reload() }, "Try again")));
  console.error(error);
}

start().catch(failed);
addEventListener("unhandledrejection", (e) => report(e.reason));
