// How people and chats are shown in a line: pictures, names, marks, times.
import { file, forget, place } from "./api.js";
import { h, icon } from "./dom.js";
import { called, channel, contact, mine, named, on, state } from "./state.js";

// The customisation colours of the protocol, by their words.
export const colors = {
  primary: "#4360df", purple: "#7140fd", indigo: "#496793", turquoise: "#2a799b", blue: "#1670e0", green: "#2f8f5b",
  yellow: "#c9930a", orange: "#d9701e", red: "#d2383e", flamingo: "#e05b76", brown: "#8a5a44", sky: "#1992d7",
  army: "#216266", magenta: "#ec266c", copper: "#cb6256", camel: "#a8743f", yinyang: "#3a3f4a", beige: "#8f7a5e",
};
const hexColor = /^#[0-9a-fA-F]{6}$/;

// tint is the colour of somebody, their own or one that their key gives.
function tint(id, word) {
  if (colors[word]) return colors[word];
  if (hexColor.test(word ?? "")) return word;
  const all = Object.values(colors);
  let sum = 0;
  for (const c of id.slice(-12)) sum += c.charCodeAt(0);
  return all[sum % all.length];
}

// Pictures are fetched when they come into sight.
const wanted = new WeakMap();
const seen = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    seen.unobserve(target);
    wanted.get(target)?.();
  }
}, { rootMargin: "200px" });

// inSight does something once when an element comes into sight.
export function inSight(element, work) {
  wanted.set(element, work);
  seen.observe(element);
  return element;
}

const initial = (name) => [...(name ?? "").replace(/^[^\p{L}\p{N}\p{Extended_Pictographic}]+/u, "") || "?"][0].toUpperCase();

function round(id, name, color, paths, size) {
  const box = h("span", { class: `avatar ${size}`, "aria-hidden": "true", vars: { tint: tint(id, color) } }, initial(name));
  if (paths.length) inSight(box, async () => {
    for (const path of paths) {
      const address = await file(path).catch(() => ""); // without one the letter stays
      if (address) return box.replaceChildren(h("img", { alt: "", src: address }));
    }
  });
  return box;
}

// avatar is the picture of somebody, or the first letter of their name. Not
// everybody sends a large picture with the small one.
export function avatar(key, name, size = "") {
  const known = mine(key) ? state.me : contact(key);
  const sizes = known && !known.picture ? [] : size === "large" ? ["large", "thumbnail"] : ["thumbnail"];
  return round(key, name, known?.color, sizes.map((s) => `${place("contacts", key)}/picture?size=${s}`), size);
}

export function groupAvatar(group, size = "") {
  const image = state.groups.get(group.id)?.image;
  return round(group.id, group.name, group.color, image ? [`${place("groups", group.id)}/image?side=256`] : [], size);
}

// Pictures of a community change with what it says of itself.
export const communityAvatar = (c, size = "") => round(c.id, c.name || "?", c.color,
  c.images?.includes("thumbnail") ? [`${place("communities", c.id)}/picture?name=${size === "large" && c.images.includes("large") ? "large" : "thumbnail"}&at=${c.clock}`] : [], size);

const channelAvatar = (chat, size) => round(chat.id, channel(chat)?.emoji || chat.name, chat.color, [], size);

export const chatAvatar = (chat, size) => chat.kind === "one_to_one" ? avatar(chat.public_key, chat.name, size) : chat.kind === "community" ? channelAvatar(chat, size) : groupAvatar(chat, size);

// chatTitle is what a chat is called where it is out of its place.
export const chatTitle = (chat) => chat?.kind === "community" ? `#${chat.name}${chat.community_name ? ` in ${chat.community_name}` : ""}` : chat?.name;

on("me", () => forget(place("contacts", state.me.public_key))); // the picture may be another

const presences = { automatic: "Online", always_online: "Online", do_not_disturb: "Do not disturb", inactive: "Away" };

// presence tells whether somebody is there, as they have said.
export function presence(c) {
  const text = presences[c?.presence];
  if (!text) return null;
  const words = c.presence_text ? `${text}: ${c.presence_text}` : text;
  return h("span", { class: `presence ${c.presence}`, title: words }, h("span", { class: "hidden-text" }, words));
}
export const presenceText = (c) => [presences[c?.presence], c?.presence_text].filter(Boolean).join(" · ");

// marks are what we know of somebody beside their name.
export function marks(c) {
  if (!c) return null;
  return [
    c.trust === "trusted" && h("span", { class: "mark good", title: "You have marked them as trusted" }, icon("check"), h("span", { class: "hidden-text" }, "trusted")),
    c.trust === "untrustworthy" && h("span", { class: "mark bad", title: "You have marked them as untrustworthy" }, icon("warning"), h("span", { class: "hidden-text" }, "untrustworthy")),
    c.ens_name && c.ens_verified && h("span", { class: "mark good", title: `${c.ens_name} was verified` }, "ENS"),
  ];
}

// ensName shows a name as what it is: a claim, unless it was looked up.
export const ensName = (c) => c.ens_name && h("span", { class: c.ens_verified ? "ens" : "ens claim" },
  c.ens_name, " ", h("small", null, c.ens_verified ? "verified" : "claimed, not verified"));

const clock = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit" });
const weekday = new Intl.DateTimeFormat([], { weekday: "short" });
const day = new Intl.DateTimeFormat([], { day: "numeric", month: "short" });
const date = new Intl.DateTimeFormat([], { day: "numeric", month: "short", year: "numeric" });
const full = new Intl.DateTimeFormat([], { weekday: "long", day: "numeric", month: "long", year: "numeric" });
const exact = new Intl.DateTimeFormat([], { dateStyle: "full", timeStyle: "medium" });
const lastDate = 8.64e15; // of JavaScript, in milliseconds; what others write may be later

const at = (ms) => new Date(Math.min(ms, lastDate));
const midnight = (d) => new Date(d.getFullYear(), d.getMonth(), d.getDate()).getTime();
const daysAgo = (d) => Math.round((midnight(new Date()) - midnight(d)) / 864e5);

// timeAt is when a message was written; of a deleted one only its place is known.
export const timeAt = (m) => m.timestamp || m.clock;
export const timeOf = (ms) => clock.format(at(ms));
export const exactly = (ms) => exact.format(at(ms));
export const dayKey = (ms) => midnight(at(ms));

export function dayOf(ms) {
  const d = at(ms), ago = daysAgo(d);
  return ago === 0 ? "Today" : ago === 1 ? "Yesterday" : full.format(d);
}

// when is a time in short, as a list shows it.
export function when(ms) {
  const d = at(ms), ago = daysAgo(d);
  if (ago === 0) return clock.format(d);
  if (ago > 0 && ago < 7) return weekday.format(d);
  return d.getFullYear() === new Date().getFullYear() ? day.format(d) : date.format(d);
}

export const moment = (ms) => `${dayOf(ms)}, ${timeOf(ms)}`;

const kinds = {
  image: "Picture", audio: "Recording", sticker: "Sticker", transaction: "About a payment", community: "Shared a community",
  identity_verification: "Identity verification", contact_request: "Contact request", bridge: "Bridged message", discord: "Imported message",
};

// entry is what somebody did to a group, in a sentence.
export function entry(m) {
  const { kind, members = [], text } = m.group_change;
  const who = members.map((p) => mine(p.public_key) ? "you" : named(p.public_key)).join(", ");
  const what = {
    created: `made the group “${text}”`, member_added: `added ${who}`, member_joined: "joined", member_left: "left", member_removed: `removed ${who}`,
    admin_added: `made ${who} admin`, admin_removed: "stepped down as admin", renamed: `named the group “${text}”`,
    color_changed: "changed the colour of the group", image_changed: "changed the picture of the group",
  };
  return `${called(m.from_key)} ${what[kind] ?? kind.replaceAll("_", " ")}`;
}

// gist is a message in a few words.
export function gist(m) {
  if (m.deleted || m.deleted_for_me) return "Message deleted";
  if (m.group_change) return entry(m);
  const text = readable(m.text || m.bridge?.content || m.discord?.content || "").replace(/\s+/g, " ").trim();
  const kind = kinds[m.content_type];
  if (m.content_type === "audio" || m.content_type === "sticker") return kind;
  if (m.content_type === "image") return text ? `${kind}: ${text}` : kind;
  return text || kind || (m.content_type === "text" || !m.content_type ? "" : `A message (${m.content_type})`);
}

// mention is how texts call somebody by key, or everybody.
export const mention = /@(0x04[0-9a-fA-F]{128}|0x00001(?![0-9a-fA-F]))/g;
export const everyone = "0x00001";
export const mentioned = (key) => key === everyone ? "everyone" : named(key);

// readable has names for the keys of a text. A text that was cut may end in a
// part of a key.
export const readable = (text) => text.replace(mention, (_, key) => `@${mentioned(key.toLowerCase())}`).replace(/@0x04[0-9a-fA-F]{20,}…$/, "@…");
