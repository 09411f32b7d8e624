// What messages carry besides their text: pictures, recordings, previews of
// links and the rest. All bytes come from the daemon; addresses that others
// write are shown and never asked.
import { file, place } from "./api.js";
import { act, dialog, h, icon } from "./dom.js";
import { inSight } from "./people.js";
import { link, rich } from "./text.js";

const side = 720; // of pictures in a chat, in pixels
const byteUnits = ["bytes", "kB", "MB"];

export function size(bytes) {
  let n = bytes, unit = 0;
  while (n >= 1000 && unit < byteUnits.length - 1) { n /= 1000; unit++; }
  return `${unit ? n.toFixed(1) : n} ${byteUnits[unit]}`;
}

// picture shows what is at a path when it comes into sight, in a place of the
// form that is expected.
function picture(path, alt, width, height) {
  const img = h("img", { alt, decoding: "async", width: width || 400, height: height || 300 });
  const frame = h("span", { class: "frame loading" }, img);
  return inSight(frame, async () => {
    try {
      img.src = await file(path);
      await img.decode();
      frame.classList.remove("loading");
    } catch (error) {
      frame.classList.remove("loading");
      frame.classList.add("broken");
      frame.replaceChildren(icon("picture"), h("span", null, error.status ? error.message : "This picture cannot be shown."));
    }
  });
}

const imagePath = (m, side) => `${place("messages", m.id)}/image${side ? `?side=${side}` : ""}`;

// large shows the pictures of an album one at a time.
function large(all, start) {
  let at = start;
  const stage = h("div", { class: "stage" });
  const place = h("span", { class: "dim" });
  const step = (by) => { at = (at + by + all.length) % all.length; show(); };
  const show = () => {
    stage.replaceChildren(picture(imagePath(all[at], 0), all[at].text || "Picture", all[at].image.width, all[at].image.height));
    place.textContent = `${at + 1} of ${all.length}`;
  };
  const save = async () => {
    const url = await file(imagePath(all[at], 0));
    h("a", { href: url, download: `picture-${all[at].id.slice(2, 10)}` }).click();
  };
  const box = dialog("Picture", stage, h("div", { class: "buttons" },
    all.length > 1 && h("button", { type: "button", class: "quiet", onclick: () => step(-1) }, "Previous"),
    all.length > 1 && h("button", { type: "button", class: "quiet", onclick: () => step(1) }, "Next"),
    all.length > 1 && place, h("button", { type: "button", class: "quiet", onclick: () => act(save) }, "Save")));
  box.classList.add("large");
  box.addEventListener("keydown", (e) => {
    if (all.length > 1 && e.key === "ArrowLeft") step(-1);
    if (all.length > 1 && e.key === "ArrowRight") step(1);
  });
  show();
}

function pictures(all) {
  return h("div", { class: all.length > 1 ? "album" : "single", "data-count": Math.min(all.length, 5) },
    all.map((m, i) => h("button", {
      type: "button", class: "picture", "aria-label": all.length > 1 ? `Picture ${i + 1} of ${all.length}: show it larger` : "Show the picture larger",
      onclick: () => large(all, i),
    }, picture(imagePath(m, side), "", m.image.width, m.image.height))));
}

const seconds = (ms) => `${Math.floor(ms / 60000)}:${String(Math.round(ms / 1000) % 60).padStart(2, "0")}`;

// recording plays what was recorded, if the browser can.
function recording(m) {
  const path = `${place("messages", m.id)}/audio`;
  const { format, bytes, duration_ms: duration } = m.audio;
  const about = `${format.toUpperCase()}, ${size(bytes)}`;
  const name = `recording-${m.id.slice(2, 10)}.${/^(aac|amr)$/.test(format) ? format : "bin"}`;
  const save = h("button", { type: "button", class: "quiet small", onclick: () => act(async () => h("a", { href: await file(path), download: name }).click()) }, "Save");
  const note = h("small", { class: "dim" }, about);
  const start = h("button", { type: "button", class: "quiet small", onclick: () => act(play) }, icon("sound"), duration >= 1000 ? ` Play ${seconds(duration)}` : " Play");
  const box = h("div", { class: "recording" }, start, save, note);
  async function play() {
    const player = h("audio", { controls: true, src: await file(path), "aria-label": "Recording" });
    player.addEventListener("error", () => {
      player.remove();
      note.textContent = `This browser cannot play it (${about}).`;
    });
    start.replaceWith(player);
    player.play().catch(() => {}); // the player tells why
  }
  return box;
}

// preview is what the author of a message says that a link leads to.
function preview(m, l, n) {
  let host = l.url;
  try {
    host = new URL(l.url).host;
  } catch {
    // It stays as it is.
  }
  return h("div", { class: "preview" },
    l.width > 0 && l.height > 0 && picture(`${place("messages", m.id)}/links/${n}/image`, "", l.width, l.height),
    h("div", null, l.title && h("strong", null, l.title), l.description && h("p", null, l.description),
      h("p", { class: "dim" }, link(l.url, host), l.title || l.description ? " – as the sender saw it" : "")));
}

function statusPreview(l, doors) {
  const { contact, community, channel } = l;
  const person = contact && [h("strong", null, contact.display_name || "Somebody"), h("p", null, contact.description),
    h("p", { class: "dim" }, "The name is the sender’s word; the key is sure: ", contact.key),
    h("button", { type: "button", class: "quiet small", onclick: () => doors.person(contact.public_key) }, "Show")];
  const place = (kind, c, more) => c && [h("strong", null, c.display_name || `A ${kind}`), h("p", null, c.description), h("p", { class: "dim" }, more)];
  return h("div", { class: "preview" }, h("div", null, person || place("community", community, community?.members ? `Community with ${community.members} members, as the sender saw it` : "Community") ||
    place("channel", channel, `Channel of ${channel?.community?.display_name || "a community"}`) || link(l.url)));
}

const commands = {
  request_address: (t) => `Asked for an address, to send ${t.value || "something"}`, accept_address: () => "Gave an address to be paid at",
  decline_address: () => "Did not give an address", request: (t) => `Asked to be paid ${t.value || "something"}`,
  decline: () => "Declined to pay", send: () => "Says to have paid",
};
const field = (name, value) => value && h("p", { class: "field" }, h("span", { class: "dim" }, `${name}: `), h("code", null, value));

function transaction(t) {
  return h("div", { class: "card" }, h("strong", null, commands[t.command]?.(t) ?? `A payment command: ${t.command}`),
    field("Token contract", t.contract), field("Address", t.address), field("Transaction", t.hash),
    h("p", { class: "dim" }, "Payment commands are shown as they came; nothing was checked, and they cannot be answered here."));
}

const payment = (p) => h("div", { class: "card" }, h("strong", null, `Asks to be paid ${p.amount} ${p.symbol}`), field("Address", p.receiver),
  field("Chain", String(p.chain_id)), h("p", { class: "dim" }, "Nothing of this was checked."));

const origin = (network, who) => h("p", { class: "origin" }, icon("link"), h("strong", null, who || "Somebody"), ` on ${network || "another network"}, says the bridge`);

// notices are kinds of messages that are about something and not said.
const notices = { contact_request: "Contact request", identity_verification: "Identity verification", status: "" };
const spoken = new Set(["text", "emoji", "image", "audio", "sticker", "bridge", "discord", "transaction", "community", ""]);

export const isStatus = (m) => m.content_type === "status";

// content returns what a message says; album are all messages of its album,
// doors lead elsewhere: {person(key)}.
export function content(m, album, doors) {
  if (m.deleted || m.deleted_for_me) {
    const by = m.deleted_for_me ? "You deleted this message on this account." : m.deleted_by && m.deleted_by.public_key !== m.from_key
      ? `${doors.name(m.deleted_by.public_key)} deleted this message.` : "This message was deleted.";
    return [h("p", { class: "gone" }, by)];
  }
  // With stickers and recordings comes a text for those who cannot show them.
  const text = m.sticker || m.audio ? "" : album.map((a) => a.text).find(Boolean) ?? "";
  const bridged = m.bridge ?? m.discord;
  return [
    notices[m.content_type] && h("p", { class: "origin" }, notices[m.content_type]),
    m.bridge && origin(m.bridge.name, m.bridge.user),
    m.discord && origin("Discord", m.discord.nickname || m.discord.author),
    m.image && pictures(album.filter((a) => a.image)),
    m.sticker && h("div", { class: "sticker", title: m.sticker.hash }, icon("smile"), h("span", null, "Sticker"), h("small", { class: "dim" }, `pack ${m.sticker.pack}, ${m.sticker.hash.slice(0, 12)}…`)),
    m.audio && recording(m),
    m.transaction && transaction(m.transaction),
    m.content_type === "community" && h("p", { class: "origin" }, "Shared a community, which this version does not show."),
    !spoken.has(m.content_type) && notices[m.content_type] === undefined && h("p", { class: "origin" }, `A message of a kind that this version does not know: ${m.content_type}.`),
    text && h("div", { class: m.content_type === "emoji" ? "text emoji" : "text" }, rich(text, doors.person)),
    bridged?.content && bridged.content !== text && h("div", { class: "text" }, rich(bridged.content, doors.person)),
    m.discord?.attachments?.map((a) => h("p", { class: "dim" }, `File: ${a.name || "unnamed"}${a.size ? `, ${size(a.size)}` : ""}`)),
    m.payments?.map(payment),
    m.links?.map((l, n) => preview(m, l, n)),
    m.status_links?.map((l) => statusPreview(l, doors)),
  ];
}
