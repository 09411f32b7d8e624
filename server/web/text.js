// What people write, as nodes: text, with links and mentions made to be
// clicked. Nothing that is linked to is fetched.
import { h } from "./dom.js";
import { mention, mentioned, everyone } from "./people.js";
import { mine } from "./state.js";

const pattern = new RegExp(`${mention.source}|\\bhttps?://[^\\s<>"]+|\`\`\`[^]+?\`\`\`|\`[^\`\\n]+\``, "g");
const trailing = /[.,;:!?'")\]]+$/;

// link leads to another site when it is clicked, which is not told from where.
export function link(url, text = url, className = "") {
  let parsed;
  try {
    parsed = new URL(url);
  } catch {
    return document.createTextNode(text);
  }
  if (parsed.protocol !== "https:" && parsed.protocol !== "http:") return document.createTextNode(text);
  return h("a", { href: parsed.href, target: "_blank", rel: "noopener noreferrer nofollow", referrerPolicy: "no-referrer", class: className, title: parsed.href }, text);
}

// rich returns the nodes of a text; onPerson is called for a mention that is
// clicked.
export function rich(text, onPerson) {
  const nodes = [];
  let done = 0;
  for (const found of text.matchAll(pattern)) {
    if (found.index > done) nodes.push(text.slice(done, found.index));
    done = found.index + found[0].length;
    const key = found[1]?.toLowerCase();
    if (key) {
      const label = `@${mentioned(key)}`;
      nodes.push(key === everyone || mine(key) || !onPerson
        ? h("span", { class: key === everyone || mine(key) ? "mention me" : "mention" }, label)
        : h("button", { type: "button", class: "mention", onclick: () => onPerson(key) }, label));
    } else if (found[0].startsWith("```")) {
      nodes.push(h("pre", null, found[0].slice(3, -3).replace(/^\n/, "")));
    } else if (found[0].startsWith("`")) {
      nodes.push(h("code", null, found[0].slice(1, -1)));
    } else {
      const end = found[0].match(trailing)?.[0] ?? "";
      nodes.push(link(found[0].slice(0, found[0].length - end.length)), end);
    }
  }
  if (done < text.length) nodes.push(text.slice(done));
  return nodes;
}

export const hasLink = (text) => /\bhttps?:\/\/\S/.test(text);
