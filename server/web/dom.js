// Elements, lists, dialogs and menus. What people write becomes text nodes:
// nothing here takes markup.

// h makes an element. Properties that begin with "on" are listeners, "class",
// "data-…" and "aria-…" attributes; vars are custom properties of its style.
// Children that are null or false are left out.
export function h(tag, props, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "value") continue; // what a select has to choose from comes first
    if (name.startsWith("on")) e.addEventListener(name.slice(2), value);
    else if (name === "vars") for (const [k, v] of Object.entries(value)) e.style.setProperty(`--${k}`, v);
    else if (name in e && !name.includes("-") && name !== "list") e[name] = value;
    else e.setAttribute(name, value === true ? "" : value);
  }
  e.append(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false));
  if (props?.value !== undefined) e.value = props.value;
  return e;
}

export const $ = (id) => document.getElementById(id);

const shapes = {
  chats: "M4 5h16v11H9l-5 4z", people: "M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM2.5 20a6.5 6.5 0 0 1 13 0M16 4.5a3.5 3.5 0 0 1 0 6M18 14a6.5 6.5 0 0 1 3.5 6",
  bell: "M6 16V10a6 6 0 0 1 12 0v6l2 2H4zM10 21h4", search: "M10.5 17a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13zM15.5 15.5 21 21",
  back: "M14 5l-7 7 7 7", more: "M5 12h.01M12 12h.01M19 12h.01", close: "M6 6l12 12M18 6 6 18", plus: "M12 5v14M5 12h14",
  pin: "M9 4h6l-1 7 3 3H7l3-3zM12 14v6", mute: "M6 16V10a6 6 0 0 1 9-5.2M18 11v5l2 2H8M4 4l16 16", send: "M4 12 20 4l-5 16-3.5-6.5z",
  picture: "M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4M15.5 9h.01", sound: "M4 10v4h4l5 4V6L8 10zM16.5 9a4 4 0 0 1 0 6", smile: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM8.5 14.5a4.5 4.5 0 0 0 7 0M9 9.5h.01M15 9.5h.01",
  reply: "M9 6 4 11l5 5M4 11h9a7 7 0 0 1 7 7", down: "M6 10l6 6 6-6", link: "M10 14a4 4 0 0 0 6 0l3-3a4 4 0 0 0-6-6l-1 1M14 10a4 4 0 0 0-6 0l-3 3a4 4 0 0 0 6 6l1-1",
  check: "M5 12.5 10 17 19 7", checks: "M2 12.5 7 17 16 7M12 16l1 1 9-10", clock: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM12 7v5l3 2", warning: "M12 4 2.5 20h19zM12 10v4M12 17h.01",
};

// icon is a picture beside words or in a button with a label.
export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  const path = document.createElementNS(space, "path");
  path.setAttribute("d", shapes[name]);
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", `icon icon-${name}`);
  svg.setAttribute("aria-hidden", "true");
  svg.append(path);
  return svg;
}

// iconButton is a button that shows a picture and tells what it does.
export const iconButton = (name, label, onclick, props = {}) =>
  h("button", { type: "button", class: "icon-button", title: label, "aria-label": label, onclick, ...props }, icon(name));

// arrange makes the nodes the children of a parent, in order, and moves only
// what has to be moved.
export function arrange(parent, nodes) {
  const keep = new Set(nodes);
  for (const child of [...parent.childNodes]) if (!keep.has(child)) child.remove();
  let at = parent.firstChild;
  for (const node of nodes) {
    if (node === at) at = at.nextSibling;
    else parent.insertBefore(node, at);
  }
}

// rows shows the beginning of a long list, and more of it when its end comes
// into sight. Items have a key, and a version that changes with their looks.
export function rows(list, { key, version, make, empty, step = 40 }) {
  let items = [], shown = step;
  const cache = new Map();
  const grow = () => {
    shown += step;
    draw();
    end.unobserve(more); // where it is now counts anew
    end.observe(more);
  };
  const more = h("li", { class: "more" }, h("button", { type: "button", class: "quiet", onclick: grow }, "Show more"));
  const end = new IntersectionObserver((seen) => seen.at(-1).isIntersecting && grow());
  end.observe(more);
  function draw() {
    const nodes = items.slice(0, shown).map((item) => {
      const id = key(item), looks = version(item);
      let row = cache.get(id);
      if (row?.looks !== looks) {
        const focused = row?.node.contains(document.activeElement);
        row = { looks, node: make(item) };
        cache.set(id, row);
        if (focused) queueMicrotask(() => row.node.querySelector("button, a, input")?.focus({ preventScroll: true }));
      }
      return row.node;
    });
    if (items.length > shown) nodes.push(more);
    if (items.length === 0 && empty) nodes.push(h("li", { class: "empty" }, empty()));
    arrange(list, nodes);
  }
  return { set(next) { items = next; draw(); }, reset() { shown = step; cache.clear(); } };
}

let titles = 0;

// dialog opens a window over the page; it closes by Escape, by its button, and
// by a click beside it.
export function dialog(title, ...content) {
  const id = `dialog-${++titles}`;
  const box = h("dialog", { "aria-labelledby": id, onclose: () => box.remove() },
    h("header", null, h("h2", { id, tabIndex: -1, autofocus: true }, title), iconButton("close", "Close", () => box.close())),
    h("div", { class: "content" }, content), h("p", { class: "problem", role: "alert", hidden: true }));
  let inside = false; // a selection that ends outside is no click beside it
  box.addEventListener("pointerdown", (e) => { inside = e.target !== box; });
  box.addEventListener("click", (e) => { if (e.target === box && !inside) box.close(); });
  document.body.append(box);
  box.showModal();
  return box;
}

// sure asks before something that cannot be undone.
export function sure(title, text, verb) {
  return new Promise((done) => {
    const box = dialog(title, h("p", null, text), h("div", { class: "buttons" },
      h("button", { type: "button", class: "danger", onclick: () => { done(true); box.close(); } }, verb),
      h("button", { type: "button", class: "quiet", onclick: () => box.close() }, "Cancel")));
    box.addEventListener("close", () => done(false));
  });
}

// menu opens a list of things to do below a button; items are {label, act,
// danger, header}, those that are false left out.
export function menu(opener, items) {
  const list = h("div", { class: "menu", role: "menu", popover: "auto" }, items.filter(Boolean).map((item) => item.node ??
    h("button", {
      type: "button", role: "menuitem", tabIndex: -1, class: item.danger ? "danger" : "",
      onclick: () => { list.hidePopover(); item.act(); },
    }, item.label)));
  const buttons = () => [...list.querySelectorAll("button")];
  list.addEventListener("keydown", (e) => {
    const all = buttons(), at = all.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1 + all.length, ArrowRight: at + 1, ArrowLeft: at - 1 + all.length, Home: 0, End: all.length - 1 }[e.key];
    if (e.key === "Tab") list.hidePopover();
    if (to === undefined) return;
    e.preventDefault();
    all[to % all.length].focus();
  });
  list.addEventListener("toggle", (e) => {
    if (e.newState !== "closed") return;
    opener.removeAttribute("aria-expanded");
    if (list.contains(document.activeElement) || document.activeElement === document.body) opener.focus({ preventScroll: true });
    list.remove();
  });
  (opener.closest("dialog") ?? document.body).append(list); // what is outside of an open dialog cannot be used
  opener.setAttribute("aria-expanded", "true");
  list.showPopover();
  const at = opener.getBoundingClientRect(), size = list.getBoundingClientRect();
  const below = at.bottom + size.height + 8 < innerHeight;
  list.style.left = `${Math.max(8, Math.min(at.left, innerWidth - size.width - 8))}px`;
  list.style.top = `${Math.max(8, below ? at.bottom + 4 : at.top - size.height - 4)}px`;
  buttons()[0]?.focus({ preventScroll: true });
}

// report shows why something failed, where people look just now.
export function report(error) {
  console.warn(error);
  const open = [...document.querySelectorAll("dialog[open] > .problem")].at(-1);
  if (open) {
    open.textContent = error.message;
    open.hidden = false;
    open.scrollIntoView({ block: "nearest" });
    return;
  }
  toast(error.message, "problem");
}

export function toast(text, className = "") {
  const box = h("div", { class: `toast ${className}` }, h("span", null, text), iconButton("close", "Dismiss", () => box.remove()));
  for (const other of $("toasts").children) if (other.firstChild.textContent === text) other.remove();
  $("toasts").append(box);
  setTimeout(() => box.remove(), className ? 12000 : 5000);
}

// act does something that may fail and shows why it did. The button waits
// meanwhile. It returns whether it went well.
export async function act(work, button) {
  const old = document.querySelector("dialog[open] > .problem:not([hidden])");
  if (old) old.hidden = true;
  if (button) button.disabled = true;
  try {
    await work();
    return true;
  } catch (error) {
    report(error);
    return false;
  } finally {
    if (button) button.disabled = false;
  }
}

// button is a button for something that may fail.
export const button = (label, work, className = "") => {
  const b = h("button", { type: "button", class: className, onclick: () => act(work, b) }, label);
  return b;
};

// form is a form for something that may fail.
export const form = (props, work, ...children) => h("form", {
  ...props,
  onsubmit: (e) => {
    e.preventDefault();
    act(() => work(e.currentTarget ?? e.target), e.submitter);
  },
}, children);

// copy puts a text into the clipboard, which browsers refuse to some pages.
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    toast("Copied.");
  } catch {
    dialog("Copy this", h("textarea", { readOnly: true, rows: 4, value: text, "aria-label": "Text to copy", onfocus: (e) => e.target.select() }));
  }
}

// announce tells those who hear the page instead of seeing it.
export function announce(text) { $("announce").textContent = text; }

// later runs something once, a while after the last of several calls.
export function later(milliseconds, work) {
  let timer = 0;
  const wait = () => { clearTimeout(timer); timer = setTimeout(work, milliseconds); };
  wait.now = () => { if (timer) { clearTimeout(timer); timer = 0; return work(); } };
  wait.never = () => { clearTimeout(timer); timer = 0; };
  return wait;
}
