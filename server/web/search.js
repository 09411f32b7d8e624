// Search over all chats, or in one.
import { get } from "./api.js";
import { act, button, h, later } from "./dom.js";
import { avatar, chatTitle, gist, moment, timeAt } from "./people.js";
import { called, named, state } from "./state.js";
import { openAt } from "./activity.js";

let text = "";

function row(m) {
  const chat = state.chats.get(m.chat);
  return h("li", { class: "result" }, h("button", { type: "button", class: "row", onclick: () => act(() => openAt(m.chat, m.id)) },
    avatar(m.from_key, named(m.from_key, m.author), "medium"),
    h("span", { class: "names" }, h("span", { class: "top" }, h("strong", { class: "name" }, called(m.from_key, m.author)), h("span", { class: "dim" }, ` in ${chatTitle(chat) ?? "a chat"}`)),
      h("span", { class: "gist lines" }, gist(m)), h("small", { class: "dim" }, moment(timeAt(m))))));
}

// searchView searches everywhere, or in one chat.
export function searchView(chat = "") {
  const list = h("ul", { class: "list", "aria-label": "What was found" });
  const note = h("p", { class: "empty", role: "status" });
  const more = button("Show more", () => find(true), "quiet");
  let next = "", generation = 0;
  async function find(further) {
    const now = ++generation, words = field.value.trim();
    text = field.value;
    if (!words) {
      list.replaceChildren();
      more.hidden = true;
      note.textContent = "Words are found where words begin with them; “in quotes” as they are.";
      return;
    }
    const found = await get("/search", { text: words, chat: here.checked ? chat : "", next: further ? next : "", limit: 30 });
    if (now !== generation) return;
    next = found.next ?? "";
    if (further) list.append(...found.messages.map(row));
    else list.replaceChildren(...found.messages.map(row));
    more.hidden = !next;
    note.textContent = list.children.length ? "" : "Nothing was found.";
  }
  const soon = later(250, () => act(() => find(false)));
  const field = h("input", { type: "search", placeholder: "Search messages", "aria-label": "Search messages", value: text, oninput: soon });
  const here = h("input", { type: "checkbox", checked: Boolean(chat), onchange: () => act(() => find(false)) });
  more.hidden = true;
  find(false).catch(() => {});
  setTimeout(() => field.focus());
  return {
    node: h("div", { class: "view" }, h("div", { class: "tools wrap" }, field, chat && h("label", { class: "check" }, here, `Only in ${state.chats.get(chat)?.name ?? "the open chat"}`)), note, list, more),
    stop: soon.never,
  };
}
