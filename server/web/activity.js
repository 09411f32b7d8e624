// The activity centre: what concerns people in person.
import { get, place, post } from "./api.js";
import { $, act, button, h, icon, rows } from "./dom.js";
import { avatar, chatTitle, moment, readable } from "./people.js";
import { change, personDialog } from "./person.js";
import { loadActivity, named, on, state } from "./state.js";
import { groupCall } from "./header.js";
import { acceptRequest, rejectRequest } from "./group.js";
import { communityDialog, decide } from "./community.js";
import { open } from "./conversation.js";

const titles = {
  contact_request: "wants to be your contact", mention: "mentions you", reply: "answers you", group_invitation: "invites you to a group",
  group_addition: "added you to a group", group_request: "asks to be added to a group", community_request: "asks to join a community",
  community_accepted: "let you in", community_kicked: "removed you", verification: "wants to be sure that it is you",
};
const kinds = [["", "Everything"], ["contact_request", "Contact requests"], ["mention", "Mentions"], ["reply", "Answers"], ["group_invitation,group_addition", "Groups"], ["group_request", "Requests for groups"], ["community_request,community_accepted,community_kicked", "Communities"], ["verification", "Verifications"]];
let kind = "", unread = false;

// answers are what accepting and declining an entry does.
const answers = {
  contact_request: [(e) => change(e.from_key, "accept"), (e) => change(e.from_key, "reject")],
  group_invitation: [(e) => groupCall(e.chat, "join"), (e) => groupCall(e.chat, "leave")],
  group_addition: [(e) => groupCall(e.chat, "join"), (e) => groupCall(e.chat, "leave")],
  group_request: [(e) => acceptRequest(e.chat, e.from_key), (e) => rejectRequest(e.chat, e.from_key)],
  community_request: [(e) => decide(e.chat, e.from_key, "accept"), (e) => decide(e.chat, e.from_key, "reject")],
};
const waits = (e) => (e.state === "unread" || e.state === "read") && (answers[e.kind] || e.kind === "verification") &&
  (e.kind !== "group_addition" || state.groups.get(e.chat)?.standing === "added");

function go(e) {
  if (e.state === "unread") act(() => setState(e, "read"));
  if (e.message && (e.kind === "mention" || e.kind === "reply")) return act(() => openAt(e.chat, e.message));
  if (e.kind === "group_addition" || e.kind === "group_invitation") location.hash = `#/chat/${encodeURIComponent(e.chat)}`;
  else if (e.kind.startsWith("community")) communityDialog(e.chat);
  else personDialog(e.from_key);
}

// openAt opens a chat at a message.
export async function openAt(chat, message) {
  history.pushState(null, "", `#/chat/${encodeURIComponent(chat)}`);
  await open(chat, message);
}

const setState = (e, to) => post(place("activities", e.id, "state"), { state: to }).then(changedOne);
let changedOne = () => {};

async function answer(e, accepts) {
  await answers[e.kind][accepts ? 0 : 1](e);
  // Most are answered by what was done; what is not is closed here.
  await setState(e, accepts && e.kind !== "group_addition" ? "accepted" : "dismissed").catch((error) => { if (error.kind !== "conflict" && error.status !== 422) throw error; });
}

function row(e) {
  const group = state.groups.get(e.chat)?.name;
  const its = e.kind.startsWith("community") && (state.communities.get(e.chat)?.name || "A community");
  const theirs = e.kind === "community_accepted" || e.kind === "community_kicked"; // what the community did
  const who = theirs ? its : e.from_key ? (its && e.text) || named(e.from_key) : "Somebody";
  const where = theirs ? "" : its || (e.kind.startsWith("group") || e.kind === "mention" || e.kind === "reply" ? group ?? chatTitle(state.chats.get(e.chat)) : "");
  return h("li", { class: `activity ${e.state}` },
    h("button", { type: "button", class: "row", onclick: () => go(e) }, h("span", { class: "dot", title: e.state === "unread" ? "Unread" : "" }, e.state === "unread" && h("span", { class: "hidden-text" }, "Unread")),
      e.from_key && !theirs ? avatar(e.from_key, who, "medium") : icon("bell"),
      h("span", { class: "names" }, h("span", null, h("strong", null, who), ` ${titles[e.kind] ?? e.kind}`, where ? `: ${where}` : ""),
        e.text && e.text !== where && !its && h("span", { class: "gist" }, readable(e.text)), h("small", { class: "dim" }, moment(e.clock), e.state === "accepted" ? " · accepted" : e.state === "dismissed" ? " · dismissed" : ""))),
    (waits(e) || e.state === "unread") && h("div", { class: "buttons" },
      waits(e) && answers[e.kind] && [button("Accept", () => answer(e, true), "small"), button("Decline", () => answer(e, false), "quiet small")],
      waits(e) && e.kind === "verification" && h("button", { type: "button", class: "small", onclick: () => personDialog(e.from_key) }, "Answer"),
      button(e.state === "unread" ? "Mark as read" : "Mark as unread", () => setState(e, e.state === "unread" ? "read" : "unread"), "quiet small")));
}

export function activityView() {
  const list = h("ul", { class: "list", "aria-label": "Activity" });
  const shown = rows(list, { key: (e) => e.id, version: (e) => JSON.stringify([e, named(e.from_key ?? ""), waits(e)]), make: row, empty: () => unread ? "Nothing is unread." : "Nothing has happened yet that concerns you." });
  const more = button("Load more", () => load(true), "quiet");
  let all = [], next = "", generation = 0;
  async function load(further) {
    const now = ++generation;
    const page = await get("/activities", { kind, unread, next: further ? next : "", limit: further ? 50 : Math.max(50, Math.min(all.length, 500)) });
    if (now !== generation) return;
    next = page.next ?? "";
    all = further ? [...all, ...page.activities] : page.activities;
    more.hidden = !next;
    draw();
  }
  const draw = () => shown.set(all);
  changedOne = async () => { await loadActivity(); await load(false); };
  const select = h("select", { "aria-label": "What to show", value: kind, onchange: () => { kind = select.value; act(() => load(false)); } }, kinds.map(([value, label]) => h("option", { value }, label)));
  const only = h("input", { type: "checkbox", checked: unread, onchange: () => { unread = only.checked; act(() => load(false)); } });
  more.hidden = true;
  act(() => load(false));
  const stops = [on("activity", () => act(() => load(false))), on("contacts groups", draw)];
  return {
    node: h("div", { class: "view" }, h("div", { class: "tools wrap" }, select, h("label", { class: "check" }, only, "Unread"), h("span", { class: "space" }),
      button("Mark all as read", async () => { state.unread = (await post("/activities/read")).unread; await changedOne(); }, "quiet small")), list, more),
    stop: () => stops.forEach((stop) => stop()),
  };
}

on("activity", () => { $("activity-badge").textContent = state.unread || ""; });
