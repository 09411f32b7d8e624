// The list of chats.
import { $, act, h, icon, iconButton, menu, rows } from "./dom.js";
import { chatAvatar, communityAvatar, gist, readable, timeAt, when } from "./people.js";
import { called, chatList, contact, loadChats, on, state } from "./state.js";
import { chatMenu } from "./header.js";
import { newGroup, requestsDialog, askForGroup } from "./group.js";
import { addContact } from "./contacts.js";
import { communityDialog, joinCommunity, newCommunity } from "./community.js";

let all = false; // also those that do not belong into a list
let filter = "";

const count = (n) => n > 99 ? "99+" : String(n);

// last is the last message in a line, or what was begun.
function last(chat) {
  if (chat.draft && chat.id !== state.open) return [h("span", { class: "draft" }, "Draft: "), readable(chat.draft)];
  if (!chat.last) return [""];
  const who = chat.kind !== "one_to_one" || called(chat.last.from_key) === "You" ? `${called(chat.last.from_key)}: ` : "";
  return [who, gist(chat.last)];
}

function row(chat) {
  const unread = chat.unread > 0 && h("span", { class: chat.muted ? "badge muted" : "badge" }, count(chat.unread), h("span", { class: "hidden-text" }, " unread"));
  const mentions = chat.mentions > 0 && h("span", { class: "badge calls" }, "@", count(chat.mentions), h("span", { class: "hidden-text" }, " for you"));
  const more = iconButton("more", `More about ${chat.name}`, (e) => chatMenu(e.currentTarget, state.chats.get(chat.id)), { class: "icon-button do", "aria-haspopup": "menu" });
  return h("li", { class: "chat-row", "data-chat": chat.id }, h("a", { href: `#/chat/${encodeURIComponent(chat.id)}`, class: "row", "aria-current": chat.id === state.open ? "page" : undefined },
    chatAvatar(chat, "medium"),
    h("span", { class: "names" },
      h("span", { class: "top" }, h("span", { class: "name" }, chat.name),
        chat.pinned && h("span", { title: "Kept at the top" }, icon("pin"), h("span", { class: "hidden-text" }, "kept at the top")),
        chat.muted && h("span", { title: "Muted" }, icon("mute"), h("span", { class: "hidden-text" }, "muted")),
        h("span", { class: "space" }), chat.last && h("time", { class: "dim" }, when(timeAt(chat.last)))),
      h("span", { class: "bottom" }, h("span", { class: "gist" }, last(chat)), mentions, unread))), more);
}

// heading is a community, with its channels below.
const heading = ({ heading: c }) => h("li", { class: "heading" }, h("button", { type: "button", class: "row", "data-community": c.id, onclick: () => communityDialog(c.id) }, communityAvatar(c, "small"),
  h("h3", null, c.name || "A community"), h("span", { class: "space" }), c.pending > 0 && h("span", { class: "badge" }, count(c.pending), h("span", { class: "hidden-text" }, " requests to join"))));

// arranged puts the channels of a community below it, in its order, after the
// other chats; those that an earlier community left come with the others.
function arranged(chats) {
  const of = (c) => state.communities.get(c.community);
  const shown = (c) => `${c.name} ${c.community_name ?? ""}`.toLowerCase().includes(filter);
  const out = chats.filter((c) => !of(c) && shown(c));
  const by = [...state.communities.values()].sort((a, b) => (a.name || "~").localeCompare(b.name || "~") || (a.id < b.id ? -1 : 1));
  for (const c of by) {
    const places = new Map(c.channels.map((ch, i) => [ch.id, i]));
    const its = chats.filter((chat) => of(chat) === c && shown(chat)).sort((a, b) => (places.get(a.id) ?? Infinity) - (places.get(b.id) ?? Infinity));
    if (its.length || c.name.toLowerCase().includes(filter)) out.push({ heading: c, id: c.id }, ...its);
  }
  return out;
}

const looks = (c) => c.heading ? JSON.stringify([c.heading.name, c.heading.color, c.heading.images, c.heading.clock, c.heading.pending]) : JSON.stringify([c, c.id === state.open, c.last && called(c.last.from_key), contact(c.id)?.color, contact(c.id)?.picture, state.groups.get(c.id)?.image, c.last && when(timeAt(c.last))]);

// chatsView makes the view of the list.
export function chatsView() {
  const list = h("ul", { class: "list", "aria-label": "Chats" });
  const shown = rows(list, { key: (c) => c.id, version: looks, make: (c) => c.heading ? heading(c) : row(c), empty: () => filter ? "No chat has such a name." : [
    h("p", null, "There are no chats yet."), h("div", { class: "buttons" }, h("button", { type: "button", onclick: addContact }, "Add a contact"))] });
  const search = h("input", { type: "search", placeholder: "Find a chat", "aria-label": "Find a chat by its name", value: filter, oninput: () => { filter = search.value.trim().toLowerCase(); shown.reset(); draw(); } });
  const make = iconButton("plus", "New chat, group or contact", (e) => menu(e.currentTarget, [
    { label: "New group", act: newGroup }, { label: "Add a contact", act: addContact }, { label: "Ask to be added to a group", act: askForGroup }, { label: "Requests for groups", act: () => act(requestsDialog) },
    { label: "Join a community", act: joinCommunity }, { label: "New community", act: newCommunity },
    { label: all ? "Hide chats of strangers and deleted ones" : "Show also chats of strangers and deleted ones", act: () => act(async () => { all = !all; await loadChats(all); draw(); }) },
  ]), { "aria-haspopup": "menu" });
  const draw = () => shown.set(arranged(chatList(all)));
  draw();
  const stop = on("chats contacts groups communities open me", draw);
  return { node: h("div", { class: "view" }, h("div", { class: "tools" }, search, make), list), stop };
}

on("chats", () => {
  let unread = 0;
  for (const c of state.chats.values()) if (c.active && !c.muted) unread += c.unread;
  $("chats-badge").textContent = unread ? count(unread) : "";
});
