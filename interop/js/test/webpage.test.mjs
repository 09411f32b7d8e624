// The daemon's web page, as two people use it in headless Chromium, with a node
// between their daemons.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { chromium } from "playwright-core";
import { until } from "../lib/client.mjs";
import { Daemon } from "../lib/daemon.mjs";
import { Parley } from "../lib/parley.mjs";

const limit = { timeout: 300_000 };
const patience = 60_000; // for whatever a page is to show
const profiles = mkdtempSync(path.join(tmpdir(), "parley-page-"));

let node, ada, bob, adaPage, bobPage;
const browsers = [];
const said = []; // what the pages print, for when something fails
const asked = []; // addresses that the pages asked for

// launch starts a browser for somebody: in one of their own, no page is in the
// background, where browsers make everything slow.
async function launch(daemon) {
  const browser = await chromium.launchPersistentContext(path.join(profiles, String(browsers.length)), {
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", headless: true, timeout: 120_000, ignoreDefaultArgs: ["--enable-automation"],
    args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
      "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
  browsers.push(browser);
  return open(browser.pages()[0] ?? await browser.newPage(), daemon);
}

// open shows somebody's page.
async function open(page, daemon, width = 1400) {
  page.setDefaultTimeout(patience);
  await page.setViewportSize({ width, height: 800 });
  page.on("console", (message) => said.push(`${daemon.name}: ${message.text()}`));
  page.on("pageerror", (error) => said.push(`${daemon.name}: ${error.stack}`));
  page.on("request", (request) => asked.push(request.url()));
  await page.goto(daemon.web);
  await page.waitForSelector("body:not(.starting):not(.failed)");
  return page;
}

before(async () => {
  node = await Parley.start("--shard", "256,768,896,960,992"); // those of the local network, too
  const address = node.ready.multiaddrs.find((a) => !a.includes("/ws"));
  [ada, bob] = await Promise.all([Daemon.start("Ada Lovelace", address), Daemon.start("Bob Babbage", address)]);
  [adaPage, bobPage] = [await launch(ada), await launch(bob)];
}, limit);

after(async () => {
  await Promise.all(browsers.map((browser) => browser.close()));
  await Promise.all([ada?.stop(), bob?.stop()]);
  await node?.stop();
  rmSync(profiles, { recursive: true, force: true });
}, limit);

// step is a test that says what the pages printed when it fails. One goes on
// from where the other ended, so that none is run after a failure.
let failed = false;
const step = (name, run) => test(name, limit, async (t) => {
  if (failed) return t.skip("the step before has failed");
  try {
    await run();
  } catch (error) {
    failed = true;
    if (process.env.PARLEY_PAGE_SHOTS) await Promise.all([adaPage, bobPage].map((page, i) => page.screenshot({ path: `${process.env.PARLEY_PAGE_SHOTS}/failed-${i}.png` })));
    throw new Error(`${error.message}\n${said.slice(-20).join("\n")}`, { cause: error });
  }
});

// shot keeps how a page looks, if that is wanted.
const shot = (page, name) => process.env.PARLEY_PAGE_SHOTS && page.screenshot({ path: `${process.env.PARLEY_PAGE_SHOTS}/${name}.png` });

const chatRow = (name) => `.chat-row:has(.name:text-is("${name}"))`;
const message = (page, text) => page.locator(".message", { has: page.locator(`.content-part:has-text("${text}")`) }).last();
const openChat = async (page, name) => {
  await page.click('nav a[data-view="chats"]');
  await page.click(`${chatRow(name)} a`);
  await page.waitForSelector(`#head .name:text-is("${name}")`);
};
const say = async (page, text) => {
  await page.fill("#text", text);
  await page.press("#text", "Enter");
  await message(page, text).waitFor();
};
const menu = async (page, of, label) => {
  await of.hover();
  await of.getByLabel("What to do with the message").click();
  await page.locator(".menu button", { hasText: label }).first().click();
};

step("a contact is added by key and accepted in the activity centre", async () => {
  await adaPage.click("text=Add a contact");
  await adaPage.getByLabel("Whom to add").fill(bob.key);
  await adaPage.getByLabel("Text of the request").fill("It is Ada");
  await adaPage.click("text=Send request");
  await bobPage.click('nav a[data-view="activity"]');
  await bobPage.locator(".activity", { hasText: "wants to be your contact" }).getByText("Accept").click();
  await adaPage.click('nav a[data-view="contacts"]');
  await adaPage.waitForSelector('.contact-row .name:text-is("Bob Babbage")');
  await until("both are contacts", async () => (await ada.call("GET", "/contacts")).some((c) => c.state === "mutual"));
});

step("a group is made, and both are in it", async () => {
  await adaPage.click('nav a[data-view="chats"]');
  await adaPage.getByLabel("New chat, group or contact").click();
  await adaPage.click('.menu button:text-is("New group")');
  await adaPage.getByLabel("Name of the group", { exact: true }).fill("Book <b>club</b>");
  await adaPage.getByRole("checkbox", { name: "Bob Babbage" }).check();
  await adaPage.click('dialog button:text-is("Create")');
  await adaPage.waitForSelector('#head .name:text-is("Book <b>club</b>")');
  await openChat(bobPage, "Book <b>club</b>");
  await bobPage.waitForSelector("#head :text('2 members')");
  for (const entry of ["Ada Lovelace made the group “Book <b>club</b>”", "Ada Lovelace added you", "You joined"]) {
    await bobPage.waitForSelector(`.entry:has-text("${entry}")`);
  }
  await shot(bobPage, "history");
});

step("a message with a mention, an answer to it, and delivery", async () => {
  await adaPage.fill("#text", "Which book, @Bo");
  await adaPage.waitForSelector("#suggestions li");
  await adaPage.press("#text", "Enter");
  await adaPage.locator("#text").pressSequentially("dear? <img src=x onerror=alert(1)>");
  await adaPage.press("#text", "Enter");
  const question = message(bobPage, "Which book, @Bob Babbage dear? <img src=x onerror=alert(1)>");
  await question.locator(".mention.me").waitFor();
  await question.hover();
  await question.getByLabel("Reply").click();
  await say(bobPage, "Emma");
  await message(adaPage, "Emma").locator('.quote:has-text("Which book, @Bob Babbage")').waitFor();
  await message(adaPage, "Which book").locator(".state.delivered").waitFor();
  const [kept] = (await bob.call("GET", "/search?text=Which")).messages;
  assert.equal(kept.text, `Which book, @${bob.key} dear? <img src=x onerror=alert(1)>`);
  assert.equal(await bobPage.locator("#messages img").count(), 0);
});

step("a reaction comes and goes", async () => {
  const emma = message(adaPage, "Emma");
  await emma.hover();
  await emma.getByLabel("What to do with the message").click();
  await adaPage.getByRole("menuitem", { name: "React with 👍" }).click();
  const there = message(bobPage, "Emma").locator('.reaction:has-text("👍")');
  await there.waitFor();
  await there.click();
  await emma.locator('.reaction:has-text("2")').waitFor();
  await there.click();
  await emma.locator('.reaction[aria-pressed="true"]').click();
  await there.waitFor({ state: "detached" });
});

step("an edit and a deletion for everyone", async () => {
  await say(adaPage, "Emmma it is");
  await message(bobPage, "Emmma it is").waitFor();
  await menu(adaPage, message(adaPage, "Emmma it is"), "Edit");
  await adaPage.fill("#text", "Emma it is");
  await adaPage.press("#text", "Enter");
  await message(bobPage, "Emma it is").locator(".foot-part :text('edited')").waitFor();
  await menu(adaPage, message(adaPage, "Emma it is"), "Delete for everyone");
  await adaPage.click("dialog button.danger");
  await message(bobPage, "This message was deleted").waitFor();
  assert.equal(await bobPage.locator('.message:has-text("Emma it is")').count(), 0);
});

step("two pictures are an album, shown from the daemon", async () => {
  const [red, blue] = await adaPage.evaluate(() => ["#f00", "#00f"].map((color) => {
    const canvas = Object.assign(document.createElement("canvas"), { width: 320, height: 200 });
    const context = canvas.getContext("2d");
    context.fillStyle = color;
    context.fillRect(0, 0, 320, 200);
    return canvas.toDataURL("image/png").split(",")[1];
  }));
  const file = (name, data) => ({ name, mimeType: "image/png", buffer: Buffer.from(data, "base64") });
  await adaPage.setInputFiles("#picture-file", [file("red.png", red), file("blue.png", blue)]);
  await adaPage.waitForSelector("#staged img >> nth=1");
  await adaPage.fill("#text", "Two covers");
  await adaPage.click("#send");
  const album = message(bobPage, "Two covers").locator(".album");
  await album.locator(".frame:not(.loading):not(.broken) img").nth(1).waitFor();
  const shown = await album.locator("img").evaluateAll((all) => all.map((img) => [new URL(img.src).protocol, img.naturalWidth > 0]));
  assert.deepEqual(shown, [["blob:", true], ["blob:", true]]);
});

step("what is pinned is listed, and what was read is no longer unread", async () => {
  await menu(bobPage, message(bobPage, "Two covers"), "Pin");
  await message(adaPage, "Two covers").locator(".icon-pin").waitFor();
  await adaPage.getByLabel("Pinned messages").click();
  await adaPage.waitForSelector('dialog .result:has-text("Two covers")');
  await adaPage.keyboard.press("Escape");
  await adaPage.bringToFront();
  await until("nothing is unread in the group", async () => (await ada.call("GET", "/chats")).find((c) => c.kind === "private_group").unread === 0);
});

step("a draft is kept", async () => {
  await adaPage.fill("#text", "half a thought");
  await openChat(adaPage, "Bob Babbage");
  await adaPage.waitForSelector(`${chatRow("Book <b>club</b>")} :text("half a thought")`);
  await openChat(adaPage, "Book <b>club</b>");
  await adaPage.waitForFunction(() => document.getElementById("text").value === "half a thought");
  await adaPage.fill("#text", "");
});

step("a long chat is read backwards, and found in", async () => {
  for (let i = 1; i <= 130; i++) {
    await ada.call("POST", "/messages", { to: bob.key, text: i === 3 ? "The needle of the haystack" : `Line ${i}` });
  }
  await openChat(adaPage, "Bob Babbage");
  await message(adaPage, "Line 130").waitFor();
  const first = adaPage.locator('.message:has-text("It is Ada")');
  assert.equal(await first.count(), 0, "all is loaded at once");
  await until("the first message", async () => {
    await adaPage.evaluate(() => { document.getElementById("scroll").scrollTop = 0; });
    return await first.count() === 1;
  });
  const clocks = (await ada.call("GET", `/messages?chat=${bob.key}`)).map((m) => m.id);
  const rows = await adaPage.locator(".message").evaluateAll((all) => all.map((row) => row.dataset.id));
  assert.deepEqual(rows, clocks);
  await openChat(adaPage, "Book <b>club</b>");
  await adaPage.click('nav a[data-view="search"]');
  await adaPage.getByLabel("Search messages").fill("needle hay");
  await adaPage.click('.result:has-text("The needle") .row');
  await adaPage.waitForSelector('#head .name:text-is("Bob Babbage")');
  await adaPage.waitForFunction(() => {
    const row = [...document.querySelectorAll(".message")].find((r) => r.textContent.includes("The needle")), box = row?.getBoundingClientRect();
    return box && box.top > 0 && box.bottom < innerHeight;
  });
  // What is about it is there, and the rest comes from there on without gaps.
  const shown = () => adaPage.locator(".message").evaluateAll((all) => all.map((row) => row.dataset.id));
  assert.ok((await shown()).length < clocks.length, `all is loaded at once, ${(await shown()).length} of ${clocks.length}`);
  await until("the last message", async () => {
    await adaPage.evaluate(() => { const pane = document.getElementById("scroll"); pane.scrollTop = pane.scrollHeight; });
    return (await shown()).at(-1) === clocks.at(-1);
  });
  assert.deepEqual(await shown(), clocks.slice(-(await shown()).length));
  await adaPage.click('.result:has-text("The needle") .row');
  await adaPage.waitForFunction(() => [...document.querySelectorAll(".message.found")].some((r) => r.textContent.includes("The needle")));
  await adaPage.click("#to-end");
  await message(adaPage, "Line 130").waitFor();
});

step("what happens while the daemon is away comes when it is back, once", async () => {
  await openChat(adaPage, "Book <b>club</b>");
  await ada.halt();
  await adaPage.waitForSelector("#net.bad");
  for (let i = 1; i <= 3; i++) {
    await bob.call("POST", "/messages", { to: "Book <b>club</b>", text: `Missed ${i}` });
  }
  await ada.again();
  for (let i = 1; i <= 3; i++) {
    await message(adaPage, `Missed ${i}`).waitFor();
    assert.equal(await adaPage.locator(`.message:has-text("Missed ${i}")`).count(), 1);
  }
  await adaPage.waitForSelector("#net:not(.bad)");
  await say(adaPage, "Here again");
  await message(bobPage, "Here again").waitFor();
});

step("a draft is seen on another page of the account", async () => {
  const other = await open(await browsers[0].newPage(), ada);
  await openChat(other, "Bob Babbage");
  await adaPage.bringToFront();
  await openChat(adaPage, "Bob Babbage");
  for (const text of ["on two pages", ""]) {
    await adaPage.fill("#text", text);
    await until("the draft is there", async () => await other.inputValue("#text") === text);
  }
  await other.close();
});

step("the profile has a link and its code", async () => {
  await adaPage.click("#me");
  const { link } = await ada.call("GET", "/profile");
  await adaPage.waitForSelector(`dialog code:text-is("${link}")`);
  await adaPage.waitForFunction(() => document.querySelector("dialog img.code")?.naturalWidth > 100);
  await shot(adaPage, "profile");
  await adaPage.press("dialog", "Escape");
});

step("a message that failed is tried again", async () => {
  await bob.halt();
  await openChat(adaPage, "Bob Babbage");
  await say(adaPage, "Try this");
  for (const verb of ["block", "unblock"]) await ada.call("POST", `/contacts/${bob.key}/${verb}`);
  const again = message(adaPage, "Try this").getByRole("button", { name: "Try again" });
  await again.waitFor();
  await shot(adaPage, "failed");
  await again.click();
  await again.waitFor({ state: "detached" });
  await bob.again();
  await message(adaPage, "Try this").locator(".state.delivered").waitFor();
});

step("a community is made, joined by its link, and let into by hand", async () => {
  await adaPage.click('nav a[data-view="chats"]');
  await adaPage.getByLabel("New chat, group or contact").click();
  await adaPage.click('.menu button:text-is("New community")');
  await adaPage.getByLabel("Name of the community").fill("Film <i>club</i>");
  await adaPage.getByLabel("What it is about").fill("We watch");
  await adaPage.getByLabel("I decide who is let in").check();
  await adaPage.click('dialog button:text-is("Create")');
  await adaPage.waitForSelector("#head :text('Film <i>club</i> · General channel')");
  await say(adaPage, "Which film?");
  const { url } = await ada.call("GET", `/communities/${encodeURIComponent("Film <i>club</i>")}/url`);
  await bobPage.click('nav a[data-view="chats"]');
  await bobPage.getByLabel("New chat, group or contact").click();
  await bobPage.click('.menu button:text-is("Join a community")');
  await bobPage.getByLabel("Link or id of the community").fill(url);
  await bobPage.locator("dialog").getByRole("button", { name: "Join", exact: true }).click();
  await bobPage.waitForSelector("dialog :text('You asked to join: its owner decides.')");
  await bobPage.keyboard.press("Escape");
  await adaPage.locator('[data-community] .badge:has-text("1")').waitFor();
  await adaPage.click("[data-community]");
  const asks = adaPage.locator('dialog .result:has-text("Bob Babbage")');
  await asks.getByRole("button", { name: "Accept" }).click();
  await adaPage.waitForSelector("dialog h3:text('2 members')");
  await asks.waitFor({ state: "detached" });
  await shot(adaPage, "community");
  await adaPage.getByLabel("Name of the channel").fill("westerns");
  await adaPage.click('dialog button:text-is("Add")');
  await adaPage.waitForSelector('dialog :text("#westerns")');
  await adaPage.keyboard.press("Escape");
  await openChat(bobPage, "westerns");
  await say(bobPage, "High noon");
  await openChat(adaPage, "westerns");
  await message(adaPage, "High noon").waitFor();
  await say(adaPage, "Rio Bravo");
  await message(bobPage, "Rio Bravo").waitFor();
});

step("who is removed from a community reads on and cannot write", async () => {
  await adaPage.click("[data-community]");
  await adaPage.locator('dialog .members li:has-text("Bob Babbage")').getByRole("button", { name: "Remove" }).click();
  await adaPage.locator('dialog button.danger:text-is("Remove")').last().click();
  await adaPage.waitForSelector("dialog h3:text('1 member')");
  await adaPage.keyboard.press("Escape");
  await bobPage.waitForSelector("#banner:has-text('You read along and are not a member.')");
  await bobPage.waitForSelector("#compose", { state: "hidden" });
  await say(adaPage, "Not without Bob");
  await message(bobPage, "Not without Bob").waitFor();
});

// fits tells what is wider than the window, unless in a part of its own that
// scrolls.
const fits = (page) => page.evaluate(() => [...document.querySelectorAll("body *")].filter((e) => {
  const box = e.getBoundingClientRect();
  return box.width > 0 && (box.right > innerWidth + 1 || box.left < -1) && !e.closest("pre, .hidden-text");
}).map((e) => e.outerHTML.slice(0, 120)));

// nameless are controls that tell nobody what they do.
const nameless = (page) => page.evaluate(() => [...document.querySelectorAll("button, a, input, select, textarea")].filter((e) =>
  e.checkVisibility() && !(e.getAttribute("aria-label") || e.textContent.trim() || e.closest("label")?.textContent.trim())).map((e) => e.outerHTML.slice(0, 120)));

step("it fits a telephone, and every control has a name", async () => {
  const page = await open(await browsers[0].newPage(), ada, 360);
  const check = async (what) => {
    assert.deepEqual(await fits(page), [], what);
    assert.deepEqual(await nameless(page), [], what);
  };
  for (const view of ["chats", "contacts", "activity", "search"]) {
    await page.click(`nav a[data-view="${view}"]`);
    await page.waitForSelector(".view .list", { state: "attached" });
    await check(view);
  }
  await openChat(page, "Book <b>club</b>");
  await message(page, "Here again").waitFor();
  await check("chat");
  await page.click("#head .who");
  await page.waitForSelector("dialog .members");
  await check("group");
  await page.keyboard.press("Escape");
  await page.getByLabel("Back to the list").click();
  await page.click("[data-community]");
  await page.waitForSelector("dialog .members");
  await check("community");
  await page.keyboard.press("Escape");
  await openChat(page, "westerns");
  await check("channel");
  await page.getByLabel("Back to the list").click();
  await page.click("#me");
  await page.waitForSelector("dialog section");
  await check("profile");
  await page.keyboard.press("Escape");
  await page.close();
});

step("nothing was asked of anybody but the daemons, nor refused by the policy", () => {
  const own = [ada.api, bob.api];
  assert.deepEqual(asked.filter((url) => !/^(blob|data):/.test(url) && !own.includes(new URL(url).origin)), []);
  assert.deepEqual(said.filter((line) => /Content Security Policy|Trusted|TypeError|ReferenceError/.test(line)), []);
});
