// Emoji to choose from; any other can be typed.
import { dialog, form, h } from "./dom.js";

export const often = ["👍", "❤️", "😂", "😮", "😢", "🙏"];

const groups = {
  Faces: "😀 😃 😄 😁 😆 😅 😂 🤣 🙂 🙃 😉 😊 😇 🥰 😍 🤩 😘 😋 😛 😜 🤪 🤗 🤔 🤐 😐 😑 😏 🙄 😬 😌 😔 😴 🤒 🤕 🤢 🤯 🥳 😎 🤓 😕 😟 🙁 😮 😲 😳 🥺 😢 😭 😱 😤 😡 🤬 💀 🤡 👻 🤖",
  Hands: "👍 👎 👌 ✌️ 🤞 🤟 🤘 👈 👉 👆 👇 ✋ 👋 🤝 👏 🙌 🙏 💪 ✍️",
  Hearts: "❤️ 🧡 💛 💚 💙 💜 🖤 🤍 💔 💕 💯 💥 ✨ 🔥 ⭐ 🌈",
  "Nature and food": "🐶 🐱 🐭 🦊 🐻 🐼 🐸 🐵 🦄 🐝 🦋 🐢 🐙 🌸 🌻 🌲 🍀 🍎 🍌 🍓 🥑 🍕 🍔 🌮 🍣 🍰 🍫 ☕ 🍵 🍺 🍷",
  Things: "🎉 🎂 🎁 🏆 ⚽ 🎮 🎵 🎸 📷 💡 🔑 🔒 📌 📎 ✏️ 📅 💰 🚀 🚗 ✈️ 🏠 ⏰ ☀️ 🌙 ☔ ❄️ ✅ ❌ ❓ ❗ ⚠️ 🏁",
};

// choose calls back with an emoji that was picked.
export function choose(picked) {
  const done = (emoji) => { box.close(); picked(emoji); };
  const other = h("input", { "aria-label": "Another emoji", placeholder: "Another one", maxLength: 32, autocomplete: "off", required: true });
  const box = dialog("Emoji", Object.entries(groups).map(([name, all]) => [h("h3", null, name),
    h("div", { class: "emoji-grid" }, all.split(" ").map((emoji) => h("button", { type: "button", onclick: () => done(emoji) }, emoji)))]),
    form({ class: "inline" }, () => done(other.value.trim()), other, h("button", null, "Use")));
}
