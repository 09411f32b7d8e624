// One message of the open chat, as an element that is kept up to date part by
// part: what has not changed stays, so that a recording plays on.
import { get, place, post } from "./api.js";
import { act, copy, dialog, h, icon, iconButton, menu, sure } from "./dom.js";
import { content, isStatus } from "./content.js";
import { avatar, exactly, gist, marks, moment, readable, timeAt, timeOf } from "./people.js";
import { called, contact, mine, named } from "./state.js";
import { said } from "./live.js";
import { choose, often } from "./emoji.js";

const states = {
  pending: ["clock", "Waiting to be sent"], sent: ["check", "Sent"], delivered: ["checks", "Delivered"], failed: ["warning", "Not sent"],
};

const change = (m, verb, body) => post(place("messages", m.id, verb), body).then(said);
const names = (people) => people.map((p) => called(p.public_key)).join(", ");

async function react(m, emoji) {
  const own = m.reactions.find((r) => r.self && (r.emoji === emoji || r.code === emoji));
  await change(m, own ? "unreact" : "react", { emoji });
}

// retry sends what has failed of an album once more.
const failures = (album) => album.filter((m) => m.state === "failed" && !m.deleted);
async function retry(album) { for (const m of failures(album)) await change(m, "retry"); }

// trace tells what has happened to a message.
async function trace(m) {
  const t = await get(`${place("messages", m.id)}/trace`);
  const line = (s) => {
    const what = s.what || s.state || s.type;
    const by = s.by_key ? ` by ${called(s.by_key)}` : "";
    const peers = s.peers ? ` to ${s.peers} ${s.peers === 1 ? "node" : "nodes"}` : "";
    return h("li", null, h("span", { class: "dim" }, exactly(new Date(s.time).getTime())), h("br"), `${what.replaceAll("_", " ")}${s.emoji ? ` ${s.emoji}` : ""}${peers}${by}${s.why ? `: ${s.why}` : ""}`);
  };
  dialog("What happened to the message",
    h("ol", { class: "steps" }, t.steps.map(line)),
    t.waiting.length > 0 && h("p", null, `${t.waiting.length} ${t.waiting.length === 1 ? "envelope waits" : "envelopes wait"} to be published, tried ${Math.max(...t.waiting.map((w) => w.attempts))} times so far.`),
    h("p", { class: "dim field" }, "Id ", h("code", null, m.id)),
    h("p", { class: "dim" }, `Written ${exactly(timeAt(m))}, as the sender says.`));
}

async function remove(m, album, forMe) {
  const many = album.length > 1 ? `all ${album.length} pictures` : "this message";
  const yes = await sure(forMe ? "Delete for you" : "Delete for everyone",
    forMe ? `Delete ${many} on this account? Others keep it.` : `Delete ${many} for everybody in the chat? They may have read it already.`, "Delete");
  if (yes) await act(async () => { for (const one of album) await change(one, "delete", forMe ? { for_me: true } : undefined); });
}

// actions opens what can be done with a message.
export function actions(opener, m, ctx) {
  const gone = m.deleted || m.deleted_for_me;
  const own = mine(m.from_key);
  const quick = h("div", { class: "quick", role: "group", "aria-label": "React" }, often.map((emoji) => h("button", {
    type: "button", role: "menuitem", tabIndex: -1, "aria-label": `React with ${emoji}`,
    onclick: (e) => { e.currentTarget.closest("[popover]").hidePopover(); act(() => react(m, emoji)); },
  }, emoji)), h("button", {
    type: "button", role: "menuitem", tabIndex: -1, "aria-label": "Another emoji",
    onclick: (e) => { e.currentTarget.closest("[popover]").hidePopover(); choose((emoji) => act(() => react(m, emoji))); },
  }, icon("plus")));
  menu(opener, [
    !gone && ctx.canWrite && { node: quick },
    !gone && ctx.canWrite && { label: "Reply", act: () => ctx.doors.reply(m) },
    !gone && m.text && { label: "Copy text", act: () => copy(readable(m.text)) },
    !gone && own && ctx.canWrite && (m.content_type === "text" || m.content_type === "emoji") && { label: "Edit", act: () => ctx.doors.edit(m) },
    !gone && ctx.canWrite && (m.pinned ? { label: "Unpin", act: () => act(() => change(m, "unpin")) } : { label: "Pin", act: () => act(() => change(m, "pin")) }),
    !gone && own && failures(ctx.album).length > 0 && { label: "Try again", act: () => act(() => retry(ctx.album)) },
    { label: "What happened to it", act: () => act(() => trace(m)) },
    !m.deleted_for_me && { label: "Delete for you", danger: true, act: () => remove(m, ctx.album, true) },
    !gone && ctx.canWrite && (own || ctx.moderator) && { label: "Delete for everyone", danger: true, act: () => remove(m, ctx.album, false) },
  ]);
}

// reactors tells who reacted with what.
function reactors(m) {
  dialog("Reactions", m.reactions.map((r) => h("p", null, h("span", { class: "emoji-large" }, r.emoji), " ", names(r.who))));
}

function reactions(m, ctx) {
  if (m.deleted || m.deleted_for_me || m.reactions.length === 0) return [];
  return [m.reactions.map((r) => h("button", {
    type: "button", class: "reaction", "aria-pressed": String(r.self), disabled: !ctx.canWrite, title: names(r.who),
    "aria-label": `${r.emoji}, ${r.count}: ${names(r.who)}. ${r.self ? "Take yours back" : "Add yours"}`,
    onclick: (e) => act(() => react(m, r.emoji), e.currentTarget),
  }, r.emoji, h("span", null, r.count))), h("button", { type: "button", class: "reaction who", "aria-label": "Who reacted", title: "Who reacted", onclick: () => reactors(m) }, icon("people"))];
}

function quote(m, ctx) {
  if (!m.reply_to || m.deleted || m.deleted_for_me) return [];
  const to = ctx.quoted;
  return [h("button", { type: "button", class: "quote", onclick: () => ctx.doors.jump(m.reply_to), "aria-label": to ? `In reply to ${called(to.from_key, to.author)}: ${gist(to)}` : "In reply to a message" },
    to ? [h("strong", null, called(to.from_key, to.author)), h("span", null, gist(to))] : h("span", null, to === null ? "A message that is not here" : "…"))];
}

function foot(m, ctx) {
  const [picture, words] = mine(m.from_key) && !m.deleted ? states[m.state] ?? [] : [];
  const failed = words && failures(ctx.album).length > 0;
  return [
    m.pinned && !m.deleted && h("span", { title: "Pinned" }, icon("pin"), h("span", { class: "hidden-text" }, "pinned")),
    m.edited && !m.deleted && h("span", null, "edited"),
    h("time", { dateTime: new Date(Math.min(timeAt(m), 8.64e15)).toISOString(), title: moment(timeAt(m)) }, timeOf(timeAt(m))),
    picture && h("span", { class: `state ${m.state}`, title: words }, icon(picture), h("span", { class: "hidden-text" }, words)),
    m.state === "failed" && words && h("span", { class: "state failed" }, words),
    failed && h("button", { type: "button", class: "quiet small", onclick: (e) => act(() => retry(ctx.album), e.currentTarget) }, "Try again"),
  ];
}

function author(m, ctx) {
  if (!ctx.group || !ctx.first || mine(m.from_key)) return [];
  const name = named(m.from_key, m.author);
  const known = contact(m.from_key);
  return [h("button", { type: "button", class: "author", onclick: () => ctx.doors.person(m.from_key) }, name), marks(known),
    !known && m.author?.ens_name && h("small", { class: "dim" }, ` claims ${m.author.ens_name}`)];
}

function picture(m, ctx) {
  if (!ctx.group || mine(m.from_key)) return [];
  return [ctx.first ? avatar(m.from_key, named(m.from_key, m.author), "small") : h("span", { class: "avatar small none" })];
}

const parts = {
  picture: [picture, (m, ctx) => [ctx.first, named(m.from_key, m.author), contact(m.from_key)?.color, contact(m.from_key)?.picture]],
  author: [author, (m, ctx) => [ctx.group, ctx.first, named(m.from_key, m.author), contact(m.from_key)?.trust, contact(m.from_key)?.ens_verified]],
  quote: [quote, (m, ctx) => [m.reply_to, m.deleted, m.deleted_for_me, ctx.quoted && [gist(ctx.quoted), called(ctx.quoted.from_key, ctx.quoted.author)], ctx.quoted === null]],
  content: [(m, ctx) => content(m, ctx.album, ctx.doors), (m, ctx) => [m.text, m.content_type, m.deleted, m.deleted_for_me, m.deleted_by, m.edited_clock,
    ctx.album.map((a) => [a.id, a.text, a.deleted]), m.links, m.mentions?.map((p) => named(p.public_key))]],
  foot: [foot, (m, ctx) => [m.pinned, m.edited, m.deleted, m.timestamp, m.state, failures(ctx.album).map((f) => f.id)]],
  reactions: [reactions, (m, ctx) => [ctx.canWrite, m.deleted, m.deleted_for_me, m.reactions.map((r) => [r.emoji, r.count, r.self, names(r.who)])]],
};

// messageNode makes the element of a message; update brings it up to date.
export function messageNode(id) {
  const slots = Object.fromEntries(Object.keys(parts).map((part) => [part, h("div", { class: `${part}-part` })]));
  const row = h("li", { class: "message", id: `m-${id}`, tabIndex: -1, "data-id": id });
  const more = iconButton("more", "What to do with the message", (e) => actions(e.currentTarget, row.message, row.ctx), { class: "icon-button do", tabIndex: -1, "aria-haspopup": "menu" });
  const reply = iconButton("reply", "Reply", () => row.ctx.doors.reply(row.message), { class: "icon-button do", tabIndex: -1 });
  const hush = h("button", { type: "button", class: "quiet small", onclick: () => { row.shown = true; row.update(row.message, row.ctx); } }, "Somebody you have blocked wrote this. Show it");
  const bubble = h("div", { class: "bubble" }, slots.author, slots.quote, slots.content, slots.foot);
  const tools = h("div", { class: "tools" }, reply, more);
  row.append(slots.picture, h("div", { class: "column" }, h("div", { class: "line" }, bubble, tools), slots.reactions));
  const looks = {};
  row.update = (m, ctx) => {
    Object.assign(row, { message: m, ctx });
    const blocked = ctx.group && contact(m.from_key)?.blocked && !row.shown;
    row.className = ["message", mine(m.from_key) && "mine", ctx.first && "first", ctx.group && "in-group", m.content_type === "emoji" && !m.deleted && "big", (m.deleted || m.deleted_for_me) && "deleted", isStatus(m) && "status", row.found && "found",
      m.mentions_all || m.mentions?.some((p) => mine(p.public_key)) ? "calls" : ""].filter(Boolean).join(" ");
    row.setAttribute("aria-label", `${called(m.from_key, m.author)}, ${timeOf(timeAt(m))}: ${blocked ? "blocked" : gist(m)}`);
    reply.hidden = m.deleted || m.deleted_for_me || !ctx.canWrite;
    for (const [part, [make, key]] of Object.entries(parts)) {
      const now = JSON.stringify([blocked, key(m, ctx)]);
      if (looks[part] === now) continue;
      looks[part] = now;
      const nodes = blocked && part !== "foot" ? part === "content" ? [hush] : [] : make(m, ctx);
      slots[part].replaceChildren(...nodes.flat(Infinity).filter((n) => n !== null && n !== undefined && n !== false && n !== ""));
    }
  };
  return row;
}
