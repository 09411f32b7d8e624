// What is being written in the open chat: text, an answer, pictures, a
// recording, an edit; and what was begun and not sent.
import { Failure, base64, get, place, post } from "./api.js";
import { $, act, h, iconButton, later, toast } from "./dom.js";
import { choose } from "./emoji.js";
import { size } from "./content.js";
import { gist } from "./people.js";
import * as mentions from "./mentions.js";
import { hasLink } from "./text.js";
import { said } from "./live.js";
import { called, keepChat, named, state } from "./state.js";

const maxPictures = 5; // of an album
const maxText = 4096; // characters of a message
const pictureTypes = ["image/png", "image/jpeg", "image/webp", "image/gif"];

const field = $("text"), bar = $("compose");
let answered = null, edited = null; // messages
let pictures = []; // {file, url}
let sound = null; // {file, format, duration_ms}
let chat = ""; // whose draft it is; empty while there is none
let kept = ""; // the draft as it is stored
const own = []; // drafts that were kept here and of which no event has told yet
let lastOwn = () => undefined;
export function setLastOwn(f) { lastOwn = f; }

export const focus = () => matchMedia("(hover: hover)").matches && field.focus({ preventScroll: true });

// enter begins with the draft of a chat.
export async function enter(of, here = true) {
  reset();
  const draft = await get(`${place("chats", of.id)}/draft`);
  if (state.open !== of.id) return;
  chat = of.id;
  if (!field.value) field.value = mentions.shown(draft.text);
  kept = JSON.stringify([draft.text, draft.reply_to ?? ""]);
  if (draft.reply_to) {
    const m = await get(place("messages", draft.reply_to)).catch(() => null);
    if (state.open === of.id) answered = m;
  }
  draw();
  if (here) focus();
}

// leave keeps what was begun.
export function leave() {
  keep.never();
  keepDraft();
  chat = "";
  reset();
}

function reset() {
  answered = edited = sound = null;
  for (const p of pictures) URL.revokeObjectURL(p.url);
  pictures = [];
  field.value = "";
  kept = "";
  mentions.clear();
  $("preview").checked = false;
  draw();
}

async function keepDraft(options) {
  if (!chat || edited) return;
  const body = { text: mentions.keyed(field.value), reply_to: answered?.id ?? "" };
  const now = JSON.stringify([body.text, body.reply_to]);
  if (now === kept) return;
  kept = now;
  const of = chat, said = `${of} ${now}`;
  own.push(said);
  if (own.length > 50) own.shift();
  await post(`${place("chats", of)}/draft`, body, options).catch((error) => {
    kept = "";
    own.splice(own.indexOf(said), 1);
    if (error.status) throw error;
  });
  const known = state.chats.get(of);
  if (known) keepChat({ ...known, draft: body.text });
}

// follow takes over what was begun on another page, unless something that is
// not kept yet is being written here.
export async function follow({ chat: of, text, reply_to: to = "" }) {
  const now = JSON.stringify([text, to]), echo = own.indexOf(`${of} ${now}`);
  if (echo >= 0) return void own.splice(0, echo + 1);
  if (of !== chat || edited || JSON.stringify([mentions.keyed(field.value), answered?.id ?? ""]) !== kept) return;
  kept = now;
  field.value = mentions.shown(text);
  const m = to && await get(place("messages", to)).catch(() => null);
  if (of !== chat || now !== kept) return;
  answered = m || null;
  draw();
}
const keep = later(700, () => act(keepDraft));
addEventListener("pagehide", () => keepDraft({ keepalive: true }));

export function reply(m) {
  if (edited) cancel();
  answered = m;
  draw();
  keep();
  field.focus();
}

export function edit(m) {
  keep.now();
  reset();
  edited = m;
  field.value = mentions.shown(m.text);
  draw();
  field.focus();
  field.setSelectionRange(field.value.length, field.value.length);
}

function cancel() {
  if (edited) {
    reset();
  } else {
    answered = null;
    keep();
  }
  draw();
  field.focus();
}

function draw() {
  field.style.height = "auto";
  field.style.height = `${Math.min(field.scrollHeight + 2, innerHeight * 0.35)}px`;
  const about = edited ?? answered;
  $("about").hidden = !about;
  $("about").replaceChildren(...about ? [h("div", null, h("strong", null, edited ? "Edit your message" : `Answer to ${called(about.from_key, about.author) === "You" ? "yourself" : named(about.from_key, about.author)}`), h("span", null, gist(about))),
    iconButton("close", edited ? "Do not edit" : "Do not answer", cancel)] : []);
  $("staged").hidden = pictures.length === 0 && !sound;
  $("staged").replaceChildren(...pictures.map((p) => h("li", null, h("img", { src: p.url, alt: p.file.name }), iconButton("close", `Leave out ${p.file.name}`, () => {
    pictures = pictures.filter((other) => other !== p);
    URL.revokeObjectURL(p.url);
    draw();
  }))), ...sound ? [h("li", { class: "sound" }, h("span", null, `${sound.file.name}, ${size(sound.file.size)}`), iconButton("close", "Leave out the recording", () => { sound = null; draw(); }))] : []);
  const links = hasLink(field.value);
  $("preview-choice").hidden = !links;
  if (!links) $("preview").checked = false;
  $("add-pictures").disabled = $("add-sound").disabled = Boolean(edited);
  const count = [...mentions.keyed(field.value)].length;
  $("count").hidden = count <= maxText - 200;
  $("count").textContent = `${count} of ${maxText} characters`;
  $("count").classList.toggle("over", count > maxText);
  $("send").disabled = sending || count > maxText || !field.value.trim() && pictures.length === 0 && !sound;
  $("send").lastChild.textContent = edited ? "Save" : "Send";
}

// add takes pictures that were chosen, dropped or pasted.
function add(files) {
  const good = files.filter((f) => pictureTypes.includes(f.type));
  if (good.length < files.length) toast("Pictures can be PNG, JPEG, WebP or GIF.", "problem");
  if (sound && good.length) return toast("A recording goes without pictures.", "problem");
  if (pictures.length + good.length > maxPictures) toast(`An album has ${maxPictures} pictures at most.`, "problem");
  for (const f of good.slice(0, maxPictures - pictures.length)) pictures.push({ file: f, url: URL.createObjectURL(f) });
  draw();
  field.focus();
}

// listen finds out what a recording is, and how long if the browser can play it.
async function listen(f) {
  const begin = new Uint8Array(await f.slice(0, 6).arrayBuffer());
  const amr = String.fromCharCode(...begin).startsWith("#!AMR");
  if (!amr && !(begin[0] === 0xff && (begin[1] & 0xf6) === 0xf0)) throw new Failure("A recording has to be an AAC (ADTS) or AMR file.");
  const url = URL.createObjectURL(f), player = new Audio();
  const duration = await new Promise((done) => {
    player.onloadedmetadata = () => done(player.duration);
    player.onerror = () => done(0);
    player.src = url;
  });
  URL.revokeObjectURL(url);
  sound = { file: f, format: amr ? "amr" : "aac", duration_ms: Number.isFinite(duration) ? Math.round(duration * 1000) : 0 };
  draw();
}

let sending = false;
async function send() {
  const text = mentions.keyed(field.value).trim(), to = state.open, preview = $("preview").checked;
  if (sending || !to || !text && pictures.length === 0 && !sound) return;
  sending = true;
  draw();
  try {
    if (edited) {
      said(await post(`${place("messages", edited.id)}/edit`, { text, preview }));
      if (state.open === to) await restart(to);
      return;
    }
    const body = { to, preview };
    if (text) body.text = text;
    if (answered) body.reply_to = answered.id;
    if (pictures.length) body.images = await Promise.all(pictures.map((p) => base64(p.file)));
    if (sound) body.audio = { format: sound.format, duration_ms: sound.duration_ms, payload: await base64(sound.file) };
    const m = await post("/messages", body);
    if (state.open === to) {
      keep.never();
      reset();
      kept = "?"; // the draft that is stored is to go
      await keepDraft();
    }
    said(m);
    for (const id of (m.album ?? []).slice(1)) said(await get(place("messages", id)));
  } finally {
    sending = false;
    draw();
    focus();
  }
}

// restart goes on with the draft of before an edit.
async function restart(id) {
  const known = state.chats.get(id);
  if (known) await enter(known);
}

bar.addEventListener("submit", (e) => { e.preventDefault(); act(send); });
field.addEventListener("input", () => { draw(); mentions.suggest(); if (!edited) keep(); });
field.addEventListener("blur", mentions.hide);
field.addEventListener("keydown", (e) => {
  if (e.isComposing) return;
  if (mentions.keydown(e)) return e.preventDefault();
  if (e.key === "Enter" && !e.shiftKey && matchMedia("(hover: hover)").matches) {
    e.preventDefault();
    if (!$("send").disabled) act(send);
  } else if (e.key === "Escape" && (edited || answered)) {
    e.preventDefault();
    cancel();
  } else if (e.key === "ArrowUp" && !field.value && !edited) {
    const m = lastOwn();
    if (m) { e.preventDefault(); edit(m); }
  }
});
$("add-pictures").addEventListener("click", () => $("picture-file").click());
$("add-sound").addEventListener("click", () => $("sound-file").click());
$("add-emoji").addEventListener("click", () => choose((emoji) => {
  field.setRangeText(emoji, field.selectionStart, field.selectionEnd, "end");
  field.dispatchEvent(new Event("input"));
  field.focus();
}));
$("picture-file").addEventListener("change", (e) => { add([...e.target.files]); e.target.value = ""; });
$("sound-file").addEventListener("change", (e) => {
  const [f] = e.target.files;
  e.target.value = "";
  if (!f) return;
  if (pictures.length) return toast("A recording goes without pictures.", "problem");
  act(() => listen(f));
});
const dropped = (data) => [...data.files].filter((f) => f.type.startsWith("image/"));
field.addEventListener("paste", (e) => {
  const files = dropped(e.clipboardData);
  if (files.length && !edited) { e.preventDefault(); add(files); }
});
$("chat").addEventListener("dragover", (e) => { if (!bar.hidden) e.preventDefault(); });
$("chat").addEventListener("drop", (e) => {
  e.preventDefault();
  if (!bar.hidden && !edited && dropped(e.dataTransfer).length) add(dropped(e.dataTransfer));
});
