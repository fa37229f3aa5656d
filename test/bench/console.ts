import { sql } from "drizzle-orm";
import type { CDPSession, Page } from "playwright-core";
import { openEmbedded } from "../../src/db/embedded.ts";
import { type ConsoleFixture, openConsole } from "../console/fixture.ts";
import type { Deployment } from "../harness/backend.ts";
import { compiledBinary } from "../harness/binary.ts";
import { type FirstLoad, firstLoad, SLOWED } from "./first-load.ts";

/**
 * `bun run bench:console`: what the web console costs, in real Chromium against the executable on loopback: the first load with
 * the processor slowed four times, the time from a change to its paint, and scrolling through 10,000 sessions and 20,000
 * messages. The numbers of docs/CONSOLE.md are of this.
 */
const SESSIONS = 10_000;
const MESSAGES = 20_000;
const CHANGES = 50;
const SCROLL_MS = 4_000;
const LOADS = 9;
const USER = "local";
const LONG_SESSION = "01900000-0000-7000-8000-000000000001";
const LONG_PROMPT = "01900000-0000-7000-8000-000000000002";
const say = (line: string) => void process.stdout.write(`${line}\n`);
const percentile = (values: readonly number[], part: number): number =>
  values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * part))] ??
  Number.NaN;

/** Sessions in every state, and a long one with text, tool calls and their results. */
async function seed({ dataDir }: Deployment): Promise<void> {
  const database = await openEmbedded({ dataDir });
  const { orm } = database;
  await orm.execute(sql`
    insert into session (id, user_id, repo, target_branch, branch, title, inbox_status, session_status, unread, created_at, updated_at)
    select gen_random_uuid(), ${USER}, 'https://git.example.com/acme/shop-' || n % 40, 'main', 'prompt/change-' || n,
      'Change number ' || n || ': make the ' || (array['checkout','search','login','invoice'])[1 + n % 4] || ' faster',
      (array['Completed','Completed','Failed','Cancelled'])[1 + n % 4],
      (array['Active','Completed','Failed','Active'])[1 + n % 4],
      n % 9 = 0, now() - n * interval '1 minute', now() - n * interval '1 minute'
    from generate_series(1, ${SESSIONS}) n`);
  await orm.execute(sql`
    insert into session (id, user_id, repo, target_branch, branch, title, inbox_status, prompt_seq, message_seq)
    values (${LONG_SESSION}, ${USER}, 'https://git.example.com/acme/shop', 'main', 'prompt/long', 'A long session', 'Completed', 1, ${MESSAGES})`);
  await orm.execute(sql`
    insert into prompt (id, session_id, user_id, seq, data, status)
    values (${LONG_PROMPT}, ${LONG_SESSION}, ${USER}, 1, '"Do a great many things"', 'Completed')`);
  await orm.execute(sql`
    insert into message (id, prompt_id, session_id, seq, data)
    select gen_random_uuid(), ${LONG_PROMPT}, ${LONG_SESSION}, n, case n % 3
      when 0 then jsonb_build_object('type', 'assistant', 'uuid', n::text, 'message', jsonb_build_object('role', 'assistant', 'content',
        jsonb_build_array(jsonb_build_object('type', 'text', 'text', 'Step ' || n || ': I read the **code** and ' || repeat('thought about it ', n % 12) || E'\n\n- one\n- two'))))
      when 1 then jsonb_build_object('type', 'assistant', 'uuid', n::text, 'message', jsonb_build_object('role', 'assistant', 'content',
        jsonb_build_array(jsonb_build_object('type', 'tool_use', 'id', 'tool-' || n, 'name', 'Bash', 'input', jsonb_build_object('command', 'grep -rn checkout src | head -' || n)))))
      else jsonb_build_object('type', 'user', 'uuid', n::text, 'message', jsonb_build_object('role', 'user', 'content',
        jsonb_build_array(jsonb_build_object('type', 'tool_result', 'tool_use_id', 'tool-' || n - 1, 'content', repeat('src/checkout.ts:12: const total = 0;' || E'\n', 1 + n % 30)))))
    end
    from generate_series(1, ${MESSAGES}) n`);
  await database.close();
}

/**
 * Of browsers that have never been here. Not by Playwright, which watches every request: the stack trace of each costs the page
 * processor time that nobody else's page spends.
 */
async function firstLoads(console: ConsoleFixture): Promise<void> {
  const loads: FirstLoad[] = [];
  while (loads.length < LOADS) loads.push(await firstLoad(console.url));
  const paints = loads.map(({ paint }) => paint);
  const bytes = Math.max(...loads.map(({ script }) => script));
  say(`script before the inbox shows: ${(bytes / 1024).toFixed(1)} KB on the wire`);
  say(
    `largest contentful paint, processor slowed ${SLOWED} times, of ${LOADS} first loads: median ${percentile(paints, 0.5).toFixed(0)} ms, from ${Math.min(...paints).toFixed(0)} to ${Math.max(...paints).toFixed(0)} ms`,
  );
}

/** From before a change is sent to the service until its text has been painted. */
async function changeToPaint(console: ConsoleFixture): Promise<void> {
  const page = await console.open("/");
  await page.locator(".inbox-row").first().waitFor();
  const { sessions } = (await console.backend.request("GET", "/sessions?limit=1")).body;
  const times: number[] = [];
  for (let index = 0; index < CHANGES; index += 1) {
    const title = `Changed ${index} at ${Date.now()}`;
    const painted = page.evaluate<number>(`new Promise((done) => {
      const look = () => document.querySelector(".inbox-list").textContent.includes(${JSON.stringify(title)})
        ? requestAnimationFrame(() => setTimeout(() => done(Date.now()))) : requestAnimationFrame(look);
      look();
    })`);
    const sent = Date.now();
    await console.backend.request("PUT", `/sessions/${sessions[0].id}`, { id: sessions[0].id, title });
    times.push((await painted) - sent);
  }
  say(`change → painted, of ${CHANGES}: p50 ${percentile(times, 0.5)} ms, p95 ${percentile(times, 0.95)} ms`);
  await page.context().close();
}

async function scrolling(page: Page, scroller: string, name: string): Promise<void> {
  const devtools = await page.context().newCDPSession(page);
  const { frames, longest } = await page.evaluate<{
    frames: number;
    longest: number;
  }>(`new Promise((done) => {
    const scroller = document.querySelector(${JSON.stringify(scroller)});
    const began = performance.now();
    let last = began, frames = 0, longest = 0, step = 180;
    scroller.scrollTop = 0;
    const frame = (now) => {
      longest = Math.max(longest, now - last);
      last = now;
      frames += 1;
      const at = scroller.scrollTop;
      scroller.scrollTop = at + step;
      if (scroller.scrollTop === at) step = -step;
      if (now - began < ${SCROLL_MS}) requestAnimationFrame(frame);
      else done({ frames, longest });
    };
    requestAnimationFrame(frame);
  })`);
  const perSecond = (frames / SCROLL_MS) * 1_000;
  say(
    `${name}: ${perSecond.toFixed(1)} frames/s, the longest took ${longest.toFixed(0)} ms, ${await memoryOf(devtools)}`,
  );
}

async function memoryOf(devtools: CDPSession): Promise<string> {
  await devtools.send("HeapProfiler.collectGarbage");
  const { usedSize, embedderHeapUsedSize = 0 } = (await devtools.send("Runtime.getHeapUsage")) as {
    usedSize: number;
    embedderHeapUsedSize?: number;
  };
  return `${((usedSize + embedderHeapUsedSize) / 1e6).toFixed(0)} MB of heap`;
}

await using console = await openConsole({
  args: ["server"],
  binary: process.env["TEST_BINARY"] ?? (await compiledBinary()),
  seed,
});
say(`${SESSIONS} sessions, one of them with ${MESSAGES} messages`);
await firstLoads(console);
await changeToPaint(console);
const inbox = await console.open("/");
await inbox.locator(".inbox-row").first().waitFor();
await inbox.locator(".inbox-progress").waitFor({ state: "detached" });
await scrolling(inbox, ".inbox-scroll", `${SESSIONS} sessions`);
await inbox.context().close();
const long = await console.open(`/s/${LONG_SESSION}`);
await long.locator(".conversation-scroll").waitFor();
await scrolling(long, ".conversation-scroll", `${MESSAGES} messages`);
if (console.complaints.length > 0) throw new Error(console.complaints.join("\n"));
