// Somebody: who they are, what we think of them, questions that make sure.
import { get, place, post } from "./api.js";
import { act, button, copy, dialog, form, h, sure } from "./dom.js";
import { avatar, ensName, marks, moment, presence, presenceText } from "./people.js";
import { keepContact, loadContact, on, state } from "./state.js";

const maxQuestion = 280;
const relations = { none: "Not a contact", sent: "You have sent a contact request", received: "Wants to be your contact", mutual: "Contact" };

const contactPath = (key, verb) => place("contacts", key, verb);

// change calls something of the API that answers with the contact.
export const change = async (key, verb, body) => keepContact(await post(contactPath(key, verb), body));

// answers are the buttons for a request that came.
export const answers = (key) => [
  button("Accept", () => change(key, "accept")),
  button("Decline", () => change(key, "reject"), "quiet"),
];

export async function block(c) {
  if (await sure(`Block ${c.name}`, "Everything that comes from them is dropped from now on. They are not told. You can take it back.", "Block")) await act(() => change(c.public_key, "block"));
}

// request is a form for a contact request.
export function request(key, done = () => {}) {
  const hello = h("input", { "aria-label": "Text of the request", placeholder: "Say who you are", required: true, maxLength: 280, autocomplete: "off" });
  return form({ class: "inline" }, async () => {
    const c = await post("/contacts", { who: key, message: hello.value });
    keepContact(c);
    done(c);
  }, hello, h("button", null, "Send contact request"));
}

function identity(c) {
  const rows = [
    ["Given by them", c.display_name && c.display_name !== c.name ? c.display_name : ""], ["Known to all as", c.alias !== c.name ? c.alias : ""],
    ["ENS name", ensName(c)], ["About", c.bio], ["Status", presenceText(c)], ["Added", c.added_at ? moment(c.added_at) : ""],
  ];
  return h("dl", null, rows.filter(([, value]) => value).map(([name, value]) => [h("dt", null, name), h("dd", null, value)]),
    h("dt", null, "Key"), h("dd", { class: "key" }, h("code", null, c.key), " ", h("button", { type: "button", class: "quiet small", onclick: () => copy(c.key) }, "Copy")));
}

function relation(c, close) {
  const key = c.public_key;
  return h("div", { class: "buttons" },
    h("button", { type: "button", onclick: () => { close(); location.hash = `#/chat/${encodeURIComponent(key)}`; } }, "Open the chat"),
    c.state === "received" && !c.blocked && answers(key),
    (c.state === "mutual" || c.state === "sent") && button(c.state === "sent" ? "Take the request back" : "Remove contact", async () => {
      if (await sure(`${c.state === "sent" ? "Take back" : "Remove"}: ${c.name}`, "They are told that you are no contacts any more.", "Remove")) await change(key, "remove");
    }, "quiet"),
    c.blocked ? button("Unblock", () => change(key, "unblock"), "quiet") : h("button", { type: "button", class: "danger quiet", onclick: () => block(c) }, "Block"));
}

function nickname(c) {
  const field = h("input", { value: c.nickname ?? "", placeholder: c.display_name || c.alias, "aria-label": "Your name for them", maxLength: 32, autocomplete: "off" });
  return form({ class: "inline" }, () => change(c.public_key, "rename", { nickname: field.value }), field, h("button", { class: "quiet" }, "Set nickname"));
}

function trust(c) {
  const choice = (mark, label) => h("label", null, h("input", {
    type: "radio", name: "trust", checked: (c.trust || "unknown") === mark, onchange: () => act(() => change(c.public_key, "trust", { trust: mark })),
  }), label);
  return h("fieldset", { class: "choices" }, h("legend", null, "What you think of them (nobody is told)"),
    choice("unknown", "Nothing yet"), choice("trusted", "Trusted"), choice("untrustworthy", "Untrustworthy"));
}

const verdicts = { pending: "Not answered yet", accepted: "Answered", declined: "Declined", canceled: "Taken back", trusted: "You were convinced", untrustworthy: "You were not convinced" };

// question is a form for a text of a verification.
function question(c, verb, label, verbLabel, after) {
  const field = h("input", { "aria-label": label, placeholder: label, required: true, maxLength: maxQuestion, autocomplete: "off" });
  return form({ class: "inline" }, async () => { await post(contactPath(c.public_key, "verifications") + `/${verb}`, { text: field.value }); await after(); }, field, h("button", null, verbLabel));
}

function verification(c, v, newest, after) {
  const own = v.own;
  const decide = (mark) => change(c.public_key, "trust", { trust: mark }).then(after);
  return h("li", null, h("p", { class: "dim" }, own ? "You asked " : `${c.name} asked `, moment(v.asked_clock), " · ", verdicts[v.state] ?? v.state),
    h("p", null, v.challenge), v.response && h("p", { class: "response" }, h("span", { class: "dim" }, own ? "They answered: " : "You answered: "), v.response),
    newest && own && v.state === "pending" && button("Take the question back", async () => { await post(`${contactPath(c.public_key, "verifications")}/cancel`); await after(); }, "quiet small"),
    newest && own && v.state === "accepted" && h("div", { class: "buttons" }, button("It is them", () => decide("trusted")), button("It is not them", () => decide("untrustworthy"), "danger")),
    newest && !own && v.state === "pending" && [question(c, "answer", "Your answer", "Answer", after),
      button("Decline", async () => { await post(`${contactPath(c.public_key, "verifications")}/decline`); await after(); }, "quiet small")]);
}

function verifications(c, all, after) {
  const last = (own) => all.findLast((v) => v.own === own);
  const asking = last(true)?.state === "pending";
  return h("section", null, h("h3", null, "Verification"),
    h("p", { class: "dim" }, "Ask something that only they can know, to be sure that nobody else uses their key."),
    all.length > 0 && h("ol", { class: "steps" }, all.map((v) => verification(c, v, v === last(v.own), after))),
    c.state === "mutual" && !asking && question(c, "ask", "Your question", "Ask", after));
}

// personDialog shows somebody, and follows what happens to them.
export async function personDialog(key) {
  let c;
  if (!await act(async () => { c = await loadContact(key); })) return;
  const body = h("div");
  const box = dialog(c.name, body);
  const close = () => box.close();
  let asked = [];
  let last = "";
  const draw = () => {
    const now = state.contacts.get(c.public_key) ?? state.people.get(c.public_key) ?? c;
    const looks = JSON.stringify([now, asked]);
    if (looks === last) return;
    if (body.contains(document.activeElement) && document.activeElement.matches("input") && document.activeElement.value && last) return; // not while they write
    last = looks;
    c = now;
    box.querySelector("h2").textContent = c.name;
    const face = avatar(c.public_key, c.name, "large");
    body.replaceChildren(...[
      h("div", { class: "person" }, face, h("p", null, relations[c.state], c.declined && c.state === "received" ? " (declined)" : "", c.blocked ? ", blocked" : "", " ", marks(c), " ", presence(c))),
      c.state === "none" && !c.blocked ? request(c.public_key, draw) : "", identity(c), relation(c, close), nickname(c), trust(c), verifications(c, asked, load),
    ].flat().filter(Boolean));
  };
  const load = async () => {
    asked = await get(contactPath(c.public_key, "verifications"));
    draw();
  };
  body.addEventListener("submit", () => { last = ""; }); // what was written is used now
  draw();
  const stop = on("contacts", () => { draw(); load().catch(() => {}); });
  box.addEventListener("close", stop);
  await act(load);
}
