// Communities: joining and making them, who is in them, and requests to decide.
import { base64, get, place, post } from "./api.js";
import { act, button, copy, dialog, form, h, sure, toast } from "./dom.js";
import { avatar, communityAvatar, moment } from "./people.js";
import { keepCommunity, loadChats, loadCommunity, mine, named, on, state } from "./state.js";
import { personDialog } from "./person.js";

const call = async (id, verb, body) => keepCommunity(await post(place("communities", id, verb), body));
const many = (n, one, more) => `${n} ${n === 1 ? one : more}`;
const goTo = (chat) => { location.hash = `#/chat/${encodeURIComponent(chat)}`; };

// standing tells what we are to a community, when that is not a member.
export function standing(c) {
  if (c.banned) return "You are banned from this community.";
  if (c.joined) return "";
  if (c.request === "pending") return c.access === "auto" ? "You asked to join: its owner has to be online to let you in." : "You asked to join: its owner decides.";
  if (!c.known) return "Nothing has been heard of it yet.";
  if (c.gated) return "It lets in who has certain tokens: it cannot be joined here yet.";
  return "You read along and are not a member.";
}

// choices are what can be done about that.
export function choices(c) {
  if (c.joined || c.banned || c.gated) return [];
  if (c.request === "pending") return [button("Withdraw the request", () => call(c.id, "cancel"), "quiet")];
  return [button("Join", () => call(c.id, "join"))];
}

// joinCommunity asks for a link.
export function joinCommunity() {
  const link = h("input", { "aria-label": "Link or id of the community", placeholder: "A share link, or 0x02…", required: true, autocomplete: "off", spellcheck: false });
  const box = dialog("Join a community", form({ class: "stack" }, async () => {
    const c = await post(place("communities", link.value.trim(), box.dataset.only ?? "join"));
    keepCommunity(c);
    await loadChats();
    box.close();
    communityDialog(c.id);
  }, h("p", { class: "dim" }, "What is said in it can be read by everybody who knows the link. Its owner is told your name, and an address that is made for it alone."),
  link, h("div", { class: "buttons" }, h("button", { onclick: () => { delete box.dataset.only; } }, "Join"), h("button", { class: "quiet", onclick: () => { box.dataset.only = "follow"; } }, "Only read"))));
  link.focus();
}

function texts(c) {
  const name = h("input", { "aria-label": "Name of the community", placeholder: "Name of the community", required: true, maxLength: 30, autocomplete: "off", value: c?.name ?? "" });
  const about = h("input", { "aria-label": "What it is about", placeholder: "What it is about", maxLength: 140, autocomplete: "off", value: c?.description ?? "" });
  const color = h("input", { type: "color", "aria-label": "Colour of the community", value: /^#[0-9a-fA-F]{6}$/.test(c?.color) ? c.color : "#4360df" });
  const by = h("input", { type: "checkbox", checked: c?.access === "manual" });
  const image = h("input", { type: "file", "aria-label": "Picture of the community", accept: "image/png,image/jpeg,image/webp,image/gif" });
  const read = async () => ({
    name: name.value, color: color.value, access: by.checked ? "manual" : "auto",
    ...about.value && { description: about.value }, ...image.files[0] && { picture: await base64(image.files[0]) },
  });
  return { name, read, nodes: [h("div", { class: "inline" }, name, color), about, h("label", { class: "check" }, by, "I decide who is let in"), h("label", { class: "inline" }, "Picture ", image)] };
}

// newCommunity makes one.
export function newCommunity() {
  const fields = texts();
  const box = dialog("New community", form({ class: "stack" }, async () => {
    const c = await post("/communities", await fields.read());
    keepCommunity(c);
    await loadChats();
    box.close();
    goTo(c.channels[0].id);
  }, fields.nodes, h("div", { class: "buttons" }, h("button", null, "Create"))));
  fields.name.focus();
}

export const decide = (id, who, verb) => post(place("communities", id, verb), { who }).then(() => loadCommunity(id));

// requests are those that wait for us.
function requests(c, all) {
  const waiting = all.filter((r) => r.state === "pending");
  if (waiting.length === 0) return null;
  return h("section", null, h("h3", null, many(waiting.length, "request to join", "requests to join")), h("ul", { class: "plain", "aria-label": "Requests to join" }, waiting.map((r) => h("li", { class: "result" },
    h("div", { class: "row" }, h("strong", null, r.display_name || named(r.from_key)), h("small", { class: "dim" }, moment(r.clock))),
    h("div", { class: "buttons" }, button("Accept", () => decide(c.id, r.from_key, "accept")), button("Decline", () => decide(c.id, r.from_key, "reject"), "quiet"))))));
}

const shownMembers = 200;

function members(c, all) {
  const list = h("ul", { class: "plain members", "aria-label": "Members" }, all.slice(0, shownMembers).map((m) => h("li", null,
    h("button", { type: "button", class: "row person-row", disabled: mine(m.public_key), onclick: () => personDialog(m.public_key) },
      avatar(m.public_key, m.name, "small"), h("span", null, h("strong", null, mine(m.public_key) ? `${m.name} (you)` : m.name), m.role && h("small", { class: "dim" }, ` ${m.role.replaceAll("_", " ")}`))),
    c.control && !mine(m.public_key) && m.role !== "owner" && h("div", { class: "buttons" },
      button("Remove", async () => {
        if (await sure(`Remove ${m.name}`, "They can ask to join again.", "Remove")) await call(c.id, "kick", { who: m.public_key });
      }, "quiet small"),
      button("Ban", async () => {
        if (await sure(`Ban ${m.name}`, "They are kept out until you let them ask again.", "Ban")) await call(c.id, "ban", { who: m.public_key });
      }, "quiet small danger")))));
  return [h("h3", null, many(c.members, "member", "members")), list, all.length > shownMembers && h("p", { class: "dim" }, `and ${all.length - shownMembers} more`)];
}

function banned(c) {
  if (!c.banlist?.length) return null;
  return h("details", null, h("summary", null, `${c.banlist.length} banned`), h("ul", { class: "plain members" }, c.banlist.map((b) => h("li", null, h("span", { class: "row" }, named(b.public_key)),
    button("Let them ask again", () => call(c.id, "unban", { who: b.public_key }), "quiet small")))));
}

function channels(c, box) {
  return h("section", null, h("h3", null, "Channels"), h("ul", { class: "plain members", "aria-label": "Channels" }, c.channels.map((ch) => h("li", null,
    h("button", { type: "button", class: "row", disabled: !(c.joined || c.spectated), onclick: () => { box.close(); goTo(ch.id); } }, h("strong", null, `#${ch.name}`), h("span", { class: "gist" }, ch.encrypted ? "Encrypted, not readable here" : ch.description)),
    c.control && c.channels.length > 1 && h("div", { class: "buttons" }, button("Delete", async () => {
      if (await sure(`Delete #${ch.name}`, "It is there for nobody any more.", "Delete")) {
        keepCommunity(await post(place("communities", c.id, "channels", ch.uuid, "delete")));
        await loadChats();
      }
    }, "quiet small danger"))))),
  c.control && newChannel(c));
}

function newChannel(c) {
  const name = h("input", { "aria-label": "Name of the channel", placeholder: "Name of a new channel", required: true, maxLength: 30, autocomplete: "off" });
  return form({ class: "inline" }, async () => {
    await post(place("communities", c.id, "channels"), { name: name.value });
    name.value = "";
    await Promise.all([loadCommunity(c.id), loadChats()]);
  }, name, h("button", { class: "quiet" }, "Add"));
}

function settings(c) {
  const fields = texts(c);
  return h("details", null, h("summary", null, "Settings"), form({ class: "stack" }, async () => {
    await call(c.id, "edit", await fields.read());
    toast("Changed.");
  }, fields.nodes, h("div", { class: "buttons" }, h("button", null, "Change"))));
}

// communityDialog shows a community, and follows what happens to it.
export async function communityDialog(id) {
  if (!await act(() => loadCommunity(id))) return;
  const body = h("div");
  const box = dialog(state.communities.get(id).name || "A community", body);
  let last = "", latest = 0;
  const draw = async () => {
    const c = state.communities.get(id);
    if (!c) return box.close();
    const now = ++latest;
    const [all, asking, { url }] = await Promise.all([
      get(place("communities", id, "members")), c.control ? get("/community-requests", { community: id }) : [], get(place("communities", id, "url")),
    ]);
    const looks = JSON.stringify([c, all, asking]);
    if (now !== latest || looks === last) return;
    last = looks;
    box.querySelector("h2").textContent = c.name || "A community";
    body.replaceChildren(...[
      h("div", { class: "person" }, communityAvatar(c, "large"), h("div", null, h("p", null, c.description), c.tags && h("p", { class: "dim" }, c.tags.join(", ")), !c.joined && c.intro && h("p", null, c.intro))),
      standing(c) && h("p", { class: "dim" }, standing(c)),
      h("div", { class: "buttons" }, choices(c)),
      requests(c, asking),
      channels(c, box),
      members(c, all), banned(c),
      c.control && settings(c),
      h("p", { class: "field" }, h("span", { class: "dim" }, "Link for others: "), h("button", { type: "button", class: "quiet small", onclick: () => copy(url) }, "Copy the link")),
      h("div", { class: "buttons" },
        c.joined && !c.control && button("Leave the community", async () => {
          if (await sure(`Leave ${c.name}`, c.outro || "You get nothing any more of what is said there. What was said stays.", "Leave")) { box.close(); await call(id, "leave"); await loadChats(); }
        }, "quiet danger"),
        !c.joined && c.spectated && !c.control && c.request !== "pending" && button("Read it no longer", async () => { box.close(); await call(id, "unfollow"); await loadChats(); }, "quiet danger")),
    ].flat().filter(Boolean));
  };
  await act(draw);
  const stop = on("communities", () => act(draw));
  box.addEventListener("close", stop);
}
