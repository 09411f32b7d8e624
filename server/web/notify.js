// Notifications of the desktop, which people ask for by a click, and the count
// in the page's title.
import { chatTitle } from "./people.js";
import { changed, on, state } from "./state.js";
import { toast } from "./dom.js";

const choice = "notify";
export const possible = () => "Notification" in window;
export const wanted = () => possible() && Notification.permission === "granted" && localStorage.getItem(choice) === "yes";

// want is called by a click and asks for permission, if there is none yet.
export async function want(yes) {
  localStorage.setItem(choice, yes ? "yes" : "no");
  if (yes && await Notification.requestPermission() !== "granted") {
    localStorage.setItem(choice, "no");
    toast("This browser does not allow notifications for this page.", "problem");
  }
  changed("me");
}

const begun = Date.now();
const recent = 10 * 60 * 1000; // what was said before that is no news

function show(title, body, tag) {
  const note = new Notification(title, { body, tag, icon: "icon.svg" });
  note.onclick = () => {
    focus();
    location.hash = tag;
    note.close();
  };
}

// notify tells of an event that people would want to know of at once.
export function notify({ type, data }) {
  if (!wanted() || document.hasFocus()) return;
  if (type === "message" && data.state === "received" && !data.group_change) {
    const chat = state.chats.get(data.chat);
    if (chat?.muted || data.timestamp < begun - recent) return;
    const from = state.contacts.get(data.from_key);
    if (from?.blocked || !from && !chat?.active) return; // strangers ask first
    const who = from?.name ?? data.author?.display_name ?? "Somebody";
    const title = chat && chat.kind !== "one_to_one" ? `${who} in ${chatTitle(chat)}` : who;
    show(title, (data.text || `A message (${data.content_type})`).slice(0, 200), `#/chat/${encodeURIComponent(data.chat)}`);
  } else if (type === "contact.request") {
    show(`${data.name || "Somebody"} wants to be your contact`, data.text.slice(0, 200), "#/activity");
  }
}

function title() {
  let count = state.unread;
  for (const chat of state.chats.values()) if (chat.active && !chat.muted) count += chat.unread;
  document.title = count ? `(${count}) Parley` : "Parley";
}
on("chats activity", title);
