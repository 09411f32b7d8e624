// The head of the open chat: who it is with, what can be done with it, and what
// waits to be decided.
import { get, place, post } from "./api.js";
import { $, act, button, dialog, h, icon, iconButton, menu, sure } from "./dom.js";
import { chatAvatar, gist, marks, moment, presence, presenceText } from "./people.js";
import { answers, block, change, personDialog, request } from "./person.js";
import { called, channel, contact, keepChat, keepGroup, named, on, state } from "./state.js";
import { cleared, open, writable } from "./conversation.js";
import { groupDialog } from "./group.js";
import { choices, communityDialog, standing } from "./community.js";
import { said } from "./live.js";

const chatCall = async (chat, verb, body) => keepChat(await post(place("chats", chat.id, verb), body));

export const details = (chat) => chat.kind === "one_to_one" ? personDialog(chat.id) : chat.kind === "community" ? communityDialog(chat.community) : groupDialog(chat.id);

const minute = 60, hour = 60 * minute, day = 24 * hour;
const spans = [["For 15 minutes", 15 * minute], ["For an hour", hour], ["For 8 hours", 8 * hour], ["For a day", day], ["For a week", 7 * day], ["Until you unmute it", 0]];

function mute(chat) {
  const box = dialog(`Mute ${chat.name}`, h("p", { class: "dim" }, "Messages still come, but nothing calls for your attention."),
    h("div", { class: "stack" }, spans.map(([label, seconds]) => button(label, async () => {
      await chatCall(chat, "mute", seconds ? { seconds } : undefined);
      box.close();
    }, "quiet"))));
}

async function clear(chat) {
  if (!await sure(`Clear ${chat.name}`, "All messages of the chat are deleted on this account. Others keep theirs.", "Clear")) return;
  await act(async () => { await chatCall(chat, "clear"); if (state.open === chat.id) await cleared(); });
}

async function remove(chat) {
  if (!await sure(`Delete ${chat.name}`, "The chat is cleared and leaves the list, until somebody says something there.", "Delete")) return;
  await act(async () => {
    await chatCall(chat, "delete");
    if (state.open === chat.id) location.hash = "#/";
  });
}

// pins lists what is pinned in a chat.
async function pins(chat) {
  const all = await get(place("chats", chat.id, "pins"));
  const list = h("ul", { class: "plain" });
  const box = dialog("Pinned messages", all.length ? list : h("p", { class: "dim" }, "Nothing is pinned. Pin a message by its menu, for everybody in the chat."));
  for (const p of all.reverse()) {
    const m = await get(place("messages", p.message)).catch(() => null);
    const row = h("li", { class: "result" },
      h("button", { type: "button", class: "row", disabled: !m, onclick: () => { box.close(); act(() => open(chat.id, p.message)); } },
        h("strong", null, m ? called(m.from_key, m.author) : "A message that is not here"), h("span", { class: "gist" }, m ? gist(m) : ""),
        h("small", { class: "dim" }, `Pinned by ${called(p.by_key)}, ${moment(p.clock)}`)),
      m && writable(chat) && button("Unpin", async () => { said(await post(place("messages", p.message, "unpin"))); row.remove(); }, "quiet small"));
    list.append(row);
  }
}

const about = (chat) => chat.kind === "one_to_one" ? "About them" : chat.kind === "community" ? "About the community" : "Members and settings";

// chatMenu opens what can be done with a chat.
export function chatMenu(opener, chat) {
  const one = chat.kind === "one_to_one", blocked = one && contact(chat.id)?.blocked;
  menu(opener, [
    { label: about(chat), act: () => details(chat) },
    { label: "Pinned messages", act: () => act(() => pins(chat)) },
    chat.unread > 0 && { label: "Mark as read", act: () => act(() => chatCall(chat, "read")) },
    { label: chat.pinned ? "Do not keep at the top" : "Keep at the top", act: () => act(() => chatCall(chat, chat.pinned ? "unpin" : "pin")) },
    chat.muted ? { label: "Unmute", act: () => act(() => chatCall(chat, "unmute")) } : { label: "Mute…", act: () => mute(chat) },
    { label: "Clear history…", danger: true, act: () => clear(chat) },
    { label: "Delete chat…", danger: true, act: () => remove(chat) },
    one && !blocked && { label: "Block…", danger: true, act: () => block(contact(chat.id) ?? { name: chat.name, public_key: chat.id }) },
    blocked && { label: "Unblock", act: () => act(() => change(chat.id, "unblock")) },
  ]);
}

export const groupCall = async (id, verb, body) => keepGroup(await post(place("groups", id, verb), body));

// banner tells what is special about the chat, and what is to be decided.
function banner(chat) {
  if (chat.kind === "one_to_one") {
    const c = contact(chat.id);
    if (!c) return [];
    if (c.blocked) return [h("p", null, `You have blocked ${c.name}.`), button("Unblock", () => change(chat.id, "unblock"), "quiet")];
    if (c.state === "received" && !c.declined) return [h("p", null, `${c.name} wants to be your contact.`), answers(chat.id)];
    if (c.state === "sent") return [h("p", { class: "dim" }, "Your contact request waits to be accepted.")];
    if (c.state === "none" || c.state === "received") return [h("p", null, "You are no contacts: ", h("span", { class: "dim" }, "they may refuse what you write.")), request(chat.id)];
    if (c.trust === "untrustworthy") return [h("p", { class: "bad" }, icon("warning"), " You have marked them as untrustworthy.")];
    return [];
  }
  if (chat.kind === "community") {
    const its = state.communities.get(chat.community);
    if (!its) return [h("p", { class: "dim" }, "You do not follow this community any more.")];
    if (channel(chat)?.encrypted) return [h("p", { class: "dim" }, "This channel is encrypted, and not readable here.")];
    return standing(its) ? [h("p", { class: "dim" }, standing(its)), choices(its)] : [];
  }
  const g = state.groups.get(chat.id);
  if (!g) return [];
  if (g.standing === "added") return [h("p", null, `${named(g.creator_key)}’s group: you were added. Do you want to be in it?`),
    button("Join", () => groupCall(g.id, "join")), button("Leave", () => groupCall(g.id, "leave"), "quiet")];
  if (g.standing === "left") return [h("p", { class: "dim" }, "You have left this group.")];
  if (g.standing === "removed") return [h("p", { class: "dim" }, "You were removed from this group.")];
  return [];
}

const until = (chat) => chat.muted_until ? `Muted until ${moment(chat.muted_until)}` : "Muted";
let looks = "", bannerLooks = "";

function draw() {
  const chat = state.chats.get(state.open);
  $("chat").hidden = !chat;
  $("welcome").hidden = Boolean(chat);
  document.body.dataset.pane = state.open ? "chat" : "list";
  if (!chat) return;
  const c = chat.kind === "one_to_one" ? contact(chat.id) : null;
  const g = state.groups.get(chat.id);
  $("compose").hidden = !writable(chat);
  const its = state.communities.get(chat.community);
  const topic = its && channel(chat)?.description;
  const line = c ? presenceText(c) : its ? `${its.name}${topic ? ` · ${topic}` : ""}` : g ? `${g.members.length} ${g.members.length === 1 ? "member" : "members"}` : "";
  const now = JSON.stringify([chat.id, chat.name, chat.color, chat.muted, chat.muted_until, line, c?.trust, c?.ens_verified, c?.color, g?.image]);
  if (now !== looks) {
    looks = now;
    $("head").replaceChildren(
      iconButton("back", "Back to the list", () => { location.hash = "#/"; }, { class: "icon-button back" }),
      h("button", { type: "button", class: "who", title: about(chat), onclick: () => details(state.chats.get(state.open)) }, chatAvatar(chat, "medium"),
        h("span", { class: "names" }, h("h2", null, h("span", { class: "name" }, chat.name), " ", ...(marks(c) ?? []).filter(Boolean)),
          (line || chat.muted) && h("span", { class: "dim" }, c && presence(c), " ", line, chat.muted && h("span", null, line ? " · " : "", icon("mute"), ` ${until(chat)}`)))),
      iconButton("search", "Search in this chat", () => { location.hash = `#/search/${encodeURIComponent(chat.id)}`; }),
      iconButton("pin", "Pinned messages", () => act(() => pins(state.chats.get(state.open)))),
      iconButton("more", "More about this chat", (e) => chatMenu(e.currentTarget, state.chats.get(state.open)), { "aria-haspopup": "menu" }));
  }
  const next = JSON.stringify([chat.id, c && [c.state, c.blocked, c.declined, c.trust, c.name], g?.standing, its && [standing(its), choices(its).length], topic]);
  if (next !== bannerLooks) {
    bannerLooks = next;
    const nodes = banner(chat).flat();
    $("banner").hidden = nodes.length === 0;
    $("banner").replaceChildren(...nodes);
  }
}

on("open chats contacts groups communities me", draw);
on("pictures", () => { looks = ""; draw(); });
