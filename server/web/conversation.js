// The open chat: its messages, scrolling, what was read.
import { get, place, post } from "./api.js";
import { $, act, announce, arrange, h, later } from "./dom.js";
import { Run } from "./pages.js";
import { messageNode, actions } from "./message.js";
import { dayKey, dayOf, entry, gist, timeAt } from "./people.js";
import { called, changed, channel, keepChat, loadChat, loadGroup, mine, on, state } from "./state.js";
import { setView } from "./live.js";
import * as composer from "./compose.js";
import { personDialog } from "./person.js";

const close = 5 * 60 * 1000; // messages of one author are shown together that are not further apart
const near = 600; // pixels from an end at which more is loaded

const pane = $("scroll"), list = $("messages");
let run = new Run("");
let nodes = new Map(); // id → element
let separators = new Map();
let unreadFrom = 0; // clock after which messages were unread when the chat was opened
let loading = false;
let stuck = true; // to the end
let generation = 0; // of open chats
let missing = false; // whether the open chat could not be loaded

const quotes = new Map(); // id → message that is not loaded here, null for none
const doors = {
  person: (key) => mine(key) || personDialog(key),
  name: (key) => called(key),
  reply: (m) => composer.reply(m),
  edit: (m) => composer.edit(m),
  jump: (id) => act(() => jump(id)),
};

// writable tells whether something can be said in a chat.
export function writable(chat) {
  if (!chat) return false;
  if (chat.kind === "one_to_one") return !state.contacts.get(chat.id)?.blocked;
  if (chat.kind === "community") return Boolean(channel(chat)?.can_post);
  return state.groups.get(chat.id)?.standing === "member";
}

// open shows a chat, at a message if one is named. When the daemon is away it
// is loaded as soon as that is back.
export async function open(id, at = "") {
  const mineNow = ++generation;
  if (state.open !== id) {
    composer.leave();
    state.open = id;
    run = new Run(id);
    forgetNodes();
    draw();
  }
  missing = false;
  changed("open");
  pane.classList.add("waiting");
  try {
    const chat = await loadChat(id);
    if (chat.kind === "private_group" && !state.groups.has(id)) await loadGroup(id).catch(() => {});
    const next = at ? await Run.around(chat.id, at) : await Run.newest(chat.id, chat.unread + 10);
    if (mineNow !== generation) return;
    state.open = chat.id;
    unreadFrom = chat.unread > 0 ? chat.read_clock ?? 0 : Infinity;
    run = next;
    pane.classList.remove("waiting");
    changed("open", "chats");
    stuck = !at && chat.unread === 0;
    draw();
    if (at) show(at);
    else toUnread();
    ends();
    await composer.enter(chat, !at);
  } catch (error) {
    if (mineNow === generation) missing = error.status === 0;
    throw error;
  } finally {
    if (mineNow === generation) pane.classList.remove("waiting");
  }
  seen();
}

on("status", () => {
  if (state.connected && missing && state.open) act(() => open(state.open));
});

export function shut() {
  generation++;
  composer.leave();
  state.open = "";
  run = new Run("");
  forgetNodes();
  changed("open");
}

function forgetNodes() {
  nodes = new Map();
  separators = new Map();
  quotes.clear();
}

function toUnread() {
  const mark = $("unread-mark");
  if (mark) mark.scrollIntoView({ block: "center" });
  else toEnd();
}

function toEnd() { pane.scrollTop = pane.scrollHeight; }

// jump shows a message of the open chat, and loads what is about it if need be.
async function jump(id) {
  if (!run.byId.has(id)) {
    const now = generation, next = await Run.around(state.open, id);
    if (now !== generation) return;
    run = next;
    stuck = false;
    draw();
  }
  show(id);
}

function show(id) {
  const shown = run.byId.get(id)?.image?.album_id;
  const row = nodes.get(id) ?? [...nodes.values()].find((n) => shown && n.message.image?.album_id === shown);
  if (!row) return;
  stuck = false;
  row.scrollIntoView({ block: "center" });
  row.found = true; // also when it is drawn again meanwhile
  row.classList.add("found");
  setTimeout(() => { row.found = false; row.classList.remove("found"); }, 2500);
  focusRow(row);
}

// quoted is the message that one answers: undefined while it is looked for.
function quoted(id) {
  if (!id) return undefined;
  if (run.byId.has(id)) return run.byId.get(id);
  if (quotes.has(id)) return quotes.get(id);
  quotes.set(id, undefined);
  get(place("messages", id)).catch(() => null).then((m) => { quotes.set(id, m); draw(); });
}

const albumOf = (m) => m.image?.album_id && !m.deleted && !m.deleted_for_me ? `${m.from_key}/${m.image.album_id}` : "";

function line(id, className, text) {
  let node = separators.get(id);
  if (!node) separators.set(id, node = h("li", { class: className, role: "separator", id: className === "unread-mark" ? className : undefined }, h("span")));
  node.firstChild.textContent = text;
  return node;
}

// draw brings the list up to date, and what people look at stays where it is.
function draw() {
  const chat = state.chats.get(run.chat);
  const group = chat?.kind === "private_group" || chat?.kind === "community";
  const canWrite = writable(chat);
  const moderator = group && (state.groups.get(chat.id)?.admin || channel(chat)?.can_delete);
  const rows = [], kept = new Map();
  let last, lastDay, marked = false;
  for (let i = 0; i < run.sorted.length; i++) {
    const m = run.sorted[i], album = [m];
    for (const key = albumOf(m); key && albumOf(run.sorted[i + 1] ?? {}) === key;) album.push(run.sorted[++i]);
    const day = dayKey(timeAt(m));
    if (day !== lastDay) {
      rows.push(line(`day ${day} ${m.id}`, "day", dayOf(timeAt(m))));
      last = undefined;
    }
    lastDay = day;
    if (m.group_change) {
      rows.push(line(`entry ${m.id}`, "entry", entry(m)));
      last = undefined;
      continue;
    }
    if (!marked && m.clock > unreadFrom && !mine(m.from_key)) {
      rows.push(line("unread", "unread-mark", "New messages"));
      marked = true;
      last = undefined;
    }
    const row = nodes.get(m.id) ?? messageNode(m.id);
    const first = !last || last.from_key !== m.from_key || Math.abs(timeAt(m) - timeAt(last)) > close;
    row.update(m, { album, first, group, canWrite, moderator, quoted: quoted(m.reply_to), doors });
    row.clock = album.at(-1).clock;
    rows.push(row);
    kept.set(m.id, row);
    last = m;
  }
  if (chat && run.sorted.length === 0 && !pane.classList.contains("waiting")) rows.push(line("none", "none", "Nothing has been said here yet."));
  if (!run.more && run.sorted.length > 0) rows.unshift(line("start", "none", "This is the beginning of what is kept here."));
  nodes = kept;
  const anchor = stuck ? null : [...list.children].find((n) => n.getBoundingClientRect().bottom > pane.getBoundingClientRect().top && rows.includes(n));
  const top = anchor?.getBoundingClientRect().top;
  arrange(list, rows);
  if (stuck) toEnd();
  else if (anchor) pane.scrollTop += anchor.getBoundingClientRect().top - top;
  if (!list.contains(document.activeElement)) rove(rows.findLast((n) => n.message));
  $("to-end").hidden = stuck || run.sorted.length === 0;
}

// Pictures that come make the list longer.
new ResizeObserver(() => stuck && toEnd()).observe(list);
new ResizeObserver(() => stuck && toEnd()).observe(pane);

const grow = async (load) => {
  if (loading) return;
  loading = true;
  const now = run;
  pane.setAttribute("aria-busy", "true");
  await act(() => load.call(now));
  loading = false;
  pane.removeAttribute("aria-busy");
  if (now === run) draw();
  if (now === run) requestAnimationFrame(ends);
};

// ends loads more at the end that is near.
function ends() {
  if (!state.open || pane.clientHeight === 0 || run.sorted.length === 0) return;
  if (run.more && pane.scrollTop < near) grow(run.earlier);
  else if (!run.whole && pane.scrollHeight - pane.scrollTop - pane.clientHeight < near) grow(run.later);
}

pane.addEventListener("scroll", () => {
  stuck = run.whole && pane.scrollHeight - pane.scrollTop - pane.clientHeight < 40;
  $("to-end").hidden = stuck || run.sorted.length === 0;
  ends();
  seen();
}, { passive: true });

$("to-end").addEventListener("click", () => act(async () => {
  if (!run.whole) run = await Run.newest(state.open);
  stuck = true;
  draw();
  composer.focus();
}));

// seen marks as read what was in sight, while somebody looks at the page.
const seen = later(300, async () => {
  const chat = state.chats.get(state.open);
  if (!chat || chat.unread === 0 || document.hidden || !document.hasFocus() || pane.clientHeight === 0) return;
  const end = pane.getBoundingClientRect().bottom + 8;
  let clock = 0;
  for (const row of nodes.values()) if (row.getBoundingClientRect().bottom - 20 <= end) clock = Math.max(clock, row.clock);
  if (clock <= (chat.read_clock ?? 0)) return;
  try {
    keepChat(await post(place("chats", chat.id, "read"), { clock }));
  } catch {
    seen(); // when the daemon is there again
  }
});
addEventListener("focus", seen);
document.addEventListener("visibilitychange", seen);

// gone is for a message that is no more; other failures stay failures.
function gone(error) {
  if (error.status !== 404) throw error;
}

setView({
  put(m) {
    if (quotes.has(m.id)) quotes.set(m.id, m);
    const fresh = !run.byId.has(m.id);
    if (!run.put(m)) return m.chat === state.open && draw();
    if (fresh && mine(m.from_key)) stuck = run.whole;
    if (fresh && m.group_change) announce(gist(m));
    else if (fresh && !mine(m.from_key)) announce(`${called(m.from_key, m.author)}: ${gist(m)}`);
    if (fresh && !m.group_change && !mine(m.from_key) && unreadFrom === Infinity && !document.hasFocus()) unreadFrom = m.clock - 1;
    draw();
    seen();
  },
  draft(data) { act(() => composer.follow(data)); },
  drop(id) {
    if (!run.byId.has(id)) return;
    run.drop(id);
    draw();
  },
  async reload() {
    if (!state.open) return;
    run = (!stuck && run.first && await Run.around(state.open, run.first.id).catch(gone)) || await Run.newest(state.open);
    draw();
    seen();
  },
});

// cleared takes the messages away that are no more.
export async function cleared() {
  run = await Run.newest(state.open);
  forgetNodes();
  draw();
}

on("contacts groups me chats", () => state.open && draw());

// One message can be reached by Tab, the others by the arrow keys.
function rove(row) {
  for (const other of list.querySelectorAll('.message[tabindex="0"]')) other.tabIndex = -1;
  if (row) row.tabIndex = 0;
}
function focusRow(row) {
  rove(row);
  row.focus({ preventScroll: true });
}
list.addEventListener("keydown", (e) => {
  const row = e.target.closest(".message");
  if (!row || e.target !== row) return;
  const all = [...nodes.values()], at = all.indexOf(row);
  const to = { ArrowUp: at - 1, ArrowDown: at + 1, Home: 0, End: all.length - 1 }[e.key];
  if (to !== undefined && all[to]) {
    e.preventDefault();
    focusRow(all[to]);
    all[to].scrollIntoView({ block: "nearest" });
  } else if (e.key === "Enter" || e.key === " ") {
    e.preventDefault();
    actions(row, row.message, row.ctx);
  } else if (e.key === "r" && !e.ctrlKey && !e.metaKey && row.ctx.canWrite) {
    e.preventDefault();
    doors.reply(row.message);
  }
});

// lastOwn is the newest message of ours that can be edited.
composer.setLastOwn(() => run.sorted.findLast((m) => mine(m.from_key) && !m.deleted && !m.deleted_for_me && (m.content_type === "text" || m.content_type === "emoji")));
