// The own profile, what others are told, and settings of account and page.
import { base64, file, forget, get, post } from "./api.js";
import { act, button, copy, dialog, form, h, sure } from "./dom.js";
import { avatar, colors } from "./people.js";
import { possible, want, wanted } from "./notify.js";
import { changed, on, state } from "./state.js";

const presences = [["automatic", "As I come and go"], ["always_online", "Always online"], ["do_not_disturb", "Do not disturb"], ["inactive", "Away"]];
const viewers = [["everyone", "everyone"], ["contacts", "contacts"], ["nobody", "nobody"]];

const keep = (me) => { state.me = me; changed("me", "contacts"); };
const option = ([value, label]) => h("option", { value }, label);

function about(me) {
  const name = h("input", { value: me.name, "aria-label": "Name", placeholder: me.alias, maxLength: 24, autocomplete: "off" });
  const bio = h("textarea", { value: me.bio ?? "", "aria-label": "About you", placeholder: "About you", rows: 2, maxLength: 240 });
  const color = h("select", { "aria-label": "Colour", value: me.color ?? "" }, option(["", "no colour"]), Object.keys(colors).map((c) => option([c, c])));
  return h("section", null, h("h3", null, "What others see"), form({ class: "stack" }, async () => {
    keep(await post("/profile", { name: name.value, bio: bio.value, color: color.value }));
  }, h("label", null, "Name", name), h("label", null, "About you", bio), h("label", null, "Colour", color), h("div", { class: "buttons" }, h("button", null, "Save"))));
}

function picture(me) {
  const who = h("select", { "aria-label": "Who may see the picture", value: me.picture || "everyone" }, viewers.map(option));
  const image = h("input", { type: "file", "aria-label": "Picture", accept: "image/png,image/jpeg,image/webp,image/gif", required: true });
  return h("section", null, h("h3", null, "Picture"), h("div", { class: "person" }, avatar(me.public_key, me.name || me.alias, "large"),
    h("p", { class: "dim" }, me.picture ? `Shown to ${me.picture}.` : "There is none.")),
  form({ class: "inline" }, async () => {
    keep(await post("/profile/picture", { image: await base64(image.files[0]), show_to: who.value }));
  }, image, h("label", null, "for ", who), h("button", null, "Use it")),
  me.picture && button("Take the picture away", async () => {
    if (!await sure("Take the picture away", "Others will not see it any more.", "Take away")) return;
    keep(await post("/profile/picture/clear"));
  }, "quiet"));
}

function status(me) {
  const which = h("select", { "aria-label": "Status", value: me.presence || "automatic" }, presences.map(option));
  const text = h("input", { value: me.presence_text ?? "", "aria-label": "A word about it", placeholder: "A word about it", maxLength: 128, autocomplete: "off" });
  return h("section", null, h("h3", null, "Status"), form({ class: "inline" }, async () => keep(await post("/profile/presence", { presence: which.value, text: text.value })),
    which, text, h("button", null, "Tell others")));
}

function share(me) {
  const code = h("img", { alt: "QR code of the link", class: "code", width: 200, height: 200 });
  forget("/profile/qr"); // it has the name in it
  act(async () => { code.src = await file("/profile/qr"); });
  const row = (label, text) => h("p", { class: "field" }, h("span", { class: "dim" }, `${label}: `), h("code", null, text), " ", h("button", { type: "button", class: "quiet small", onclick: () => copy(text) }, "Copy"));
  return h("section", null, h("h3", null, "How others add you"), row("Link", me.link), row("Key", me.key),
    me.ens_name && h("p", { class: "field" }, h("span", { class: "dim" }, "ENS name that you claim: "), me.ens_name),
    code, h("p", { class: "dim" }, "Others add you by the link, by the key, or by scanning the code with Status on a phone."));
}

function settings(s) {
  const check = (label, on, change) => {
    const box = h("input", { type: "checkbox", checked: on, onchange: async () => { if (!await act(() => change(box.checked), box)) box.checked = !box.checked; } });
    return h("label", { class: "check" }, box, label);
  };
  const set = async (change) => { state.settings = await post("/settings", change); };
  return h("section", null, h("h3", null, "Settings"),
    check("Refuse messages of those who are no contacts", s.contacts_only, (on) => set({ contacts_only: on })),
    check("Tell others every five minutes that I am there", s.presence_updates, (on) => set({ presence_updates: on })),
    possible() && check("Notify me on this computer while this page is open", wanted(), async (on) => want(on)));
}

function network(s) {
  if (!s) return null;
  return h("section", null, h("h3", null, "Connection"), h("p", { class: "dim" }, `Network ${s.network}, mode ${s.mode}, ${s.node.peers?.length ?? 0} peers, ${s.pending} to send.`,
    s.history?.error ? ` Fetching missed messages failed: ${s.history.error}.` : ""));
}

export async function profileDialog() {
  await act(async () => {
    state.settings = await get("/settings");
    const body = h("div");
    const box = dialog("Your profile", body);
    let last = "";
    const draw = () => {
      const looks = JSON.stringify([state.me, state.settings, wanted()]);
      if (looks === last) return;
      last = looks;
      body.replaceChildren(...[share(state.me), about(state.me), picture(state.me), status(state.me), settings(state.settings), network(state.status)].filter(Boolean));
    };
    draw();
    box.addEventListener("close", on("me", draw));
  });
}
