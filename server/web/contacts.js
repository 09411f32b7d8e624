// The list of contacts, and requests to become one.
import { post } from "./api.js";
import { $, dialog, form, h, iconButton, rows } from "./dom.js";
import { avatar, ensName, marks, presence, presenceText } from "./people.js";
import { answers, personDialog } from "./person.js";
import { keepContact, on, state } from "./state.js";

let filter = "";

// addContact asks whom to add.
export function addContact() {
  const who = h("input", { "aria-label": "Whom to add", placeholder: "zQ3sh…, 0x04…, a share link, or a name", required: true, autocomplete: "off", spellcheck: false });
  const hello = h("input", { "aria-label": "Text of the request", placeholder: "Say who you are", required: true, maxLength: 280, autocomplete: "off" });
  const box = dialog("Add a contact", form({ class: "stack" }, async () => {
    const c = await post("/contacts", { who: who.value.trim(), message: hello.value });
    keepContact(c);
    box.close();
    location.hash = `#/chat/${encodeURIComponent(c.public_key)}`;
  }, h("p", { class: "dim" }, "They get your request, and you can talk as soon as they accept it."), who, hello, h("div", { class: "buttons" }, h("button", null, "Send request"))));
  who.focus();
}

const groups = [
  ["requests", "Requests", (c) => c.state === "received" && !c.declined && !c.blocked],
  ["mutual", "Contacts", (c) => c.state === "mutual" && !c.blocked],
  ["sent", "Waiting for an answer", (c) => c.state === "sent" && !c.blocked],
  ["others", "Others", (c) => !c.blocked && (c.state === "none" || c.state === "received" && c.declined)],
  ["blocked", "Blocked", (c) => c.blocked],
];

function row(item) {
  if (item.title) return h("li", { class: "heading" }, h("h3", null, item.title, h("span", { class: "dim" }, ` ${item.count}`)));
  const { c, group } = item;
  return h("li", { class: "contact-row" },
    h("button", { type: "button", class: "row", onclick: () => personDialog(c.public_key) }, h("span", { class: "face" }, avatar(c.public_key, c.name, "medium"), presence(c)),
      h("span", { class: "names" }, h("span", { class: "top" }, h("span", { class: "name" }, c.name), marks(c)),
        h("span", { class: "bottom dim" }, h("span", { class: "gist" }, ensName(c) || presenceText(c) || c.bio || (c.alias !== c.name ? c.alias : ""))))),
    group === "requests" ? h("div", { class: "buttons" }, answers(c.public_key))
      : iconButton("chats", `Chat with ${c.name}`, () => { location.hash = `#/chat/${encodeURIComponent(c.public_key)}`; }));
}

export function contactsView() {
  const list = h("ul", { class: "list", "aria-label": "Contacts" });
  const shown = rows(list, {
    key: (i) => i.title ?? i.c.public_key, version: (i) => JSON.stringify(i), make: row,
    empty: () => filter ? "Nobody has such a name." : [h("p", null, "You have no contacts yet."), h("p", { class: "dim" }, "Give others your share link, from your profile, or add them by theirs.")],
  });
  const search = h("input", { type: "search", placeholder: "Find a contact", "aria-label": "Find a contact", value: filter, oninput: () => { filter = search.value.trim().toLowerCase(); shown.reset(); draw(); } });
  const draw = () => {
    const all = [...state.contacts.values()].filter((c) => [c.name, c.alias, c.display_name, c.ens_name, c.key].some((n) => n?.toLowerCase().includes(filter)));
    all.sort((a, b) => a.name.localeCompare(b.name) || (a.public_key < b.public_key ? -1 : 1));
    shown.set(groups.flatMap(([group, title, test]) => {
      const some = all.filter(test);
      return some.length ? [{ title, count: some.length }, ...some.map((c) => ({ c, group }))] : [];
    }));
  };
  draw();
  const stop = on("contacts", draw);
  return { node: h("div", { class: "view" }, h("div", { class: "tools" }, search, iconButton("plus", "Add a contact", addContact)), list), stop };
}

on("contacts", () => {
  const n = [...state.contacts.values()].filter(groups[0][2]).length;
  $("contacts-badge").textContent = n || "";
});
