// Private groups: making them, who is in them, and requests to be added.
import { base64, get, place, post } from "./api.js";
import { act, button, copy, dialog, form, h, sure } from "./dom.js";
import { avatar, groupAvatar, moment } from "./people.js";
import { keepGroup, loadGroup, mine, named, on, state } from "./state.js";
import { personDialog } from "./person.js";

const maxMembers = 20; // that can be added to, ourselves included
const call = async (id, verb, body) => keepGroup(await post(place("groups", id, verb), body));
const mutual = () => [...state.contacts.values()].filter((c) => c.state === "mutual" && !c.blocked).sort((a, b) => a.name.localeCompare(b.name));

// chooser lets people choose contacts; chosen tells their keys.
function chooser(people, most) {
  const all = people.map((c) => {
    const box = h("input", { type: "checkbox", value: c.public_key, onchange: count });
    return { c, box, row: h("label", { class: "choice" }, box, avatar(c.public_key, c.name, "small"), h("span", null, c.name)) };
  });
  const note = h("p", { class: "dim" });
  const filter = h("input", { type: "search", "aria-label": "Find a contact", placeholder: "Find a contact", oninput: () => {
    for (const { c, row } of all) row.hidden = !c.name.toLowerCase().includes(filter.value.toLowerCase());
  } });
  function count() {
    const n = all.filter(({ box }) => box.checked).length;
    note.textContent = `${n} of at most ${most}`;
    for (const { box } of all) box.disabled = n >= most && !box.checked;
  }
  count();
  const node = h("fieldset", { class: "chooser" }, h("legend", null, "Contacts"),
    people.length > 8 && filter, people.length === 0 ? h("p", { class: "dim" }, "There is nobody to add: only contacts who have accepted can be in a group.") : [h("div", { class: "choices-list" }, all.map(({ row }) => row)), note]);
  return { node, chosen: () => all.filter(({ box }) => box.checked).map(({ box }) => box.value) };
}

export function newGroup() {
  const name = h("input", { "aria-label": "Name of the group", placeholder: "Name of the group", required: true, maxLength: 100, autocomplete: "off" });
  const color = h("input", { type: "color", "aria-label": "Colour of the group", value: "#4360df" });
  const who = chooser(mutual(), maxMembers - 1);
  const box = dialog("New group", form({ class: "stack" }, async () => {
    const g = await post("/groups", { name: name.value, color: color.value, members: who.chosen() });
    keepGroup(g);
    box.close();
    location.hash = `#/chat/${encodeURIComponent(g.id)}`;
  }, h("div", { class: "inline" }, name, color), who.node, h("div", { class: "buttons" }, h("button", null, "Create"))));
  name.focus();
}

// ask sends a request to be added to a group.
export function askForGroup() {
  const group = h("input", { "aria-label": "Id of the group", placeholder: "Id of the group", required: true, autocomplete: "off" });
  const admin = h("input", { "aria-label": "Admin of the group", placeholder: "An admin: contact, zQ3sh… or link", required: true, autocomplete: "off" });
  const hello = h("input", { "aria-label": "Introduction", placeholder: "Who you are", maxLength: 280, autocomplete: "off" });
  const box = dialog("Ask to be added to a group", form({ class: "stack" }, async () => {
    await post("/group-requests", { group: group.value.trim(), admin: admin.value.trim(), introduction: hello.value });
    box.close();
    await requestsDialog();
  }, h("p", { class: "dim" }, "The id is what a member of the group finds under “Members and settings”."), group, admin, hello, h("div", { class: "buttons" }, h("button", null, "Ask"))));
}

const states = { requested: "open", rejected: "declined", approved: "accepted" };

// requestsDialog shows requests for groups, ours and those to us.
export async function requestsDialog() {
  const list = h("ul", { class: "plain" });
  const box = dialog("Requests for groups", list, h("div", { class: "buttons" }, button("Ask to be added to a group", async () => { box.close(); askForGroup(); }, "quiet")));
  const load = async () => {
    const all = await get("/group-requests");
    list.replaceChildren(...all.map((r) => h("li", { class: "result" }, h("div", { class: "row" },
      h("strong", null, mine(r.from_key) ? `You, to ${r.name || "a group"}` : `${named(r.from_key)}, to ${r.name || "a group"}`),
      h("span", { class: "gist" }, r.introduction), h("small", { class: "dim" }, `${states[r.state] ?? r.state} · ${moment(r.clock)}${mine(r.from_key) ? ` · asked ${named(r.admin_key)}` : ""}`)),
    !mine(r.from_key) && r.state === "requested" && h("div", { class: "buttons" },
      button("Accept", async () => { await acceptRequest(r.group, r.from_key); await load(); }),
      button("Decline", async () => { await rejectRequest(r.group, r.from_key); await load(); }, "quiet")))));
    if (all.length === 0) list.append(h("li", { class: "empty" }, "There are none."));
  };
  await act(load);
  box.addEventListener("close", on("requests", () => act(load)));
}

export const acceptRequest = (group, who) => call(group, "add", { members: [who] });
export const rejectRequest = (group, who) => post(place("groups", group, "reject"), { who });

function members(g, box) {
  return h("ul", { class: "plain members" }, g.members.map((m) => h("li", null,
    h("button", { type: "button", class: "row person-row", disabled: mine(m.public_key), onclick: () => personDialog(m.public_key) },
      avatar(m.public_key, m.name, "small"), h("span", null, h("strong", null, mine(m.public_key) ? `${m.name} (you)` : m.name),
        h("small", { class: "dim" }, [m.admin && " admin", !m.joined && " has not joined yet"].filter(Boolean).join(",")))),
    g.admin && !mine(m.public_key) && h("div", { class: "buttons" },
      !m.admin && button("Make admin", async () => {
        if (await sure(`Make ${m.name} an admin`, "Admins add and remove members. Only they themselves can step down.", "Make admin")) await call(g.id, "admin", { who: m.public_key });
      }, "quiet small"),
      !m.admin && button("Remove", async () => {
        if (await sure(`Remove ${m.name}`, "They get nothing any more of what is said in the group.", "Remove")) await call(g.id, "remove", { who: m.public_key });
      }, "quiet small danger")))));
}

function settings(g) {
  const name = h("input", { "aria-label": "Name of the group", value: g.name, required: true, maxLength: 100, autocomplete: "off" });
  const color = h("input", { type: "color", "aria-label": "Colour of the group", value: /^#[0-9a-fA-F]{6}$/.test(g.color) ? g.color : "#4360df", onchange: () => act(() => call(g.id, "color", { color: color.value })) });
  const image = h("input", { type: "file", "aria-label": "Picture of the group", accept: "image/png,image/jpeg,image/webp,image/gif", onchange: () => act(async () => {
    if (image.files[0]) await call(g.id, "image", { image: await base64(image.files[0]) });
  }) });
  return h("section", null, h("h3", null, "Settings"),
    form({ class: "inline" }, () => call(g.id, "rename", { name: name.value }), name, h("button", { class: "quiet" }, "Rename")),
    h("label", { class: "inline" }, "Colour ", color), h("label", { class: "inline" }, "Picture ", image));
}

function adding(g) {
  const inside = new Set(g.members.map((m) => m.public_key));
  const who = chooser(mutual().filter((c) => !inside.has(c.public_key)), Math.max(0, maxMembers - g.members.length));
  return h("details", null, h("summary", null, "Add members"), form({ class: "stack" }, async () => {
    if (who.chosen().length) await call(g.id, "add", { members: who.chosen() });
  }, who.node, h("div", { class: "buttons" }, h("button", null, "Add"))));
}

const standings = { added: "You were added and have not joined yet.", left: "You have left this group.", removed: "You were removed from this group.", member: "" };

// groupDialog shows a group, and follows what happens to it.
export async function groupDialog(id) {
  if (!await act(() => loadGroup(id))) return;
  const body = h("div");
  const box = dialog(state.groups.get(id).name, body);
  let last = "";
  const draw = () => {
    const g = state.groups.get(id);
    const looks = JSON.stringify(g);
    if (looks === last) return;
    last = looks;
    box.querySelector("h2").textContent = g.name;
    const creator = named(g.creator_key);
    body.replaceChildren(...[
      h("div", { class: "person" }, groupAvatar(g, "large"), h("p", null, standings[g.standing], h("span", { class: "dim" }, ` Made by ${mine(g.creator_key) ? "you" : creator}, ${moment(g.created)}`))),
      g.standing === "added" && h("div", { class: "buttons" }, button("Join", () => call(id, "join")), button("Leave", () => call(id, "leave"), "quiet")),
      h("h3", null, `${g.members.length} ${g.members.length === 1 ? "member" : "members"}`), members(g, box),
      g.admin && adding(g), g.admin && settings(g),
      h("p", { class: "field" }, h("span", { class: "dim" }, "Id, for those who want to ask to be added: "), h("code", null, g.id), " ", h("button", { type: "button", class: "quiet small", onclick: () => copy(g.id) }, "Copy")),
      g.standing === "member" && h("div", { class: "buttons" },
        g.admin && g.members.filter((m) => m.admin).length > 1 && button("Be no admin any more", async () => {
          if (await sure("Be no admin any more", "Another admin has to make you one again.", "Step down")) await call(id, "step-down");
        }, "quiet"),
        button("Leave the group", async () => {
          if (await sure(`Leave ${g.name}`, "You get nothing any more of what is said there. What was said stays.", "Leave")) await call(id, "leave");
        }, "quiet danger")),
    ].filter(Boolean));
  };
  draw();
  box.addEventListener("close", on("groups", draw));
}
