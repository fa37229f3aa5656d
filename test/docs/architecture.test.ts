import { expect, test } from "bun:test";
import { join } from "node:path";
import { INBOX_STATUSES, SESSION_STATUSES } from "../../src/db/columns.ts";
import type { ClaimedRun } from "../../src/lifecycle/start-run.ts";
import { uiStatusOf } from "../../src/lifecycle/ui-status.ts";
import { markReturned } from "../../src/sandboxes/store.ts";
import { ask, makeApp } from "../harness/app.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { COMPLETED, mustClaim, SANDBOX, writerOf } from "../harness/seed.ts";
import { ROOT, read } from "./guide.ts";

const GUIDE = "docs/ARCHITECTURE.md";

/** The part between the document's markers equals `content`; with UPDATE_DOCS=1 it is written there. */
async function expectGenerated(mark: string, content: string): Promise<void> {
  const text = await read(GUIDE);
  const between = new RegExp(`<!-- ${mark} -->.*<!-- /${mark} -->`, "s");
  const wanted = text.replace(between, `<!-- ${mark} -->\n${content}\n<!-- /${mark} -->`);
  expect(between.test(text)).toBe(true);
  if (process.env["UPDATE_DOCS"] && process.env["CI"] !== "true") await Bun.write(join(ROOT, GUIDE), wanted);
  else expect(text === wanted, "run UPDATE_DOCS=1 bun test test/docs and look at the diff").toBe(true);
}

test("the table of UI statuses matches the code", async () => {
  const held = { provider: "local" };
  const rows = SESSION_STATUSES.flatMap((sessionStatus) =>
    INBOX_STATUSES.map((inboxStatus) => {
      const [without, holding] = [null, held].map((sbxConfig) =>
        uiStatusOf({ sessionStatus, inboxStatus, sbxConfig }),
      );
      return [sessionStatus, inboxStatus, String(holding), String(without)];
    }),
  );
  const head = ["session_status", "inbox_status", "sandbox held", "sandbox returned"];
  // Columns are padded to equal width.
  const widths = head.map((_, column) => Math.max(...[head, ...rows].map((row) => row[column]?.length ?? 0)));
  const line = (cells: string[], fill = " ") =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0, fill)).join(" | ")} |`;
  await expectGenerated(
    "ui-status",
    [line(head), line(["", "", "", ""], "-"), ...rows.map((row) => line(row))].join("\n"),
  );
});

interface Subject {
  sessionId: string;
  promptId: string;
  run?: ClaimedRun;
}

describeEachDatabase("docs/ARCHITECTURE.md", (database) => {
  const send = (method: string, path: string, body?: unknown) =>
    ask(makeApp({ database: database() }), "alice", method, path, body);
  const uiStatus = async ({ sessionId }: Subject): Promise<string> =>
    (await send("GET", `/sessions/${sessionId}`)).body.session.uiStatus;
  const put = ({ sessionId }: Subject, ui_status: string) =>
    send("PUT", `/sessions/${sessionId}`, { id: sessionId, ui_status });
  const claim = async (one: Subject) => {
    one.run = await mustClaim(database(), one.promptId);
  };
  const hold = ({ run }: Subject) => run && writerOf(database().orm, run).holdSandbox(SANDBOX);
  const end = ({ run }: Subject) => run && writerOf(database().orm, run).finish(COMPLETED);
  const giveBack = ({ sessionId }: Subject) => markReturned(database().orm, sessionId, SANDBOX);
  const archive = (one: Subject) => put(one, "Archived");

  /** Steps that lead to each state. A state that can be reached in two ways is listed twice. */
  const STATES: Record<string, ((one: Subject) => unknown)[]> = {
    waiting: [],
    preparing: [claim],
    running: [claim, hold],
    ended: [claim, hold, end],
    idle: [claim, hold, end, giveBack],
    "archived while waiting": [archive],
    "archived while running": [claim, hold, archive],
    archived: [claim, hold, end, giveBack, archive],
    "archived with its sandbox": [claim, hold, end, archive],
  };
  /** All events. An event that a state does not allow is rejected and changes nothing. */
  const EVENTS: Record<string, (one: Subject) => unknown> = {
    claimed: (one) => one.run === undefined && claim(one),
    "run ended": end,
    "handed over": ({ run }) => run && writerOf(database().orm, run).handOver(),
    "retry scheduled": ({ run }) =>
      run &&
      writerOf(database().orm, run).retry({
        delayMs: 1,
        failure: { attempt: 1, at: new Date().toISOString(), kind: "transient", error: "No net." },
      }),
    "sandbox returned": giveBack,
    "follow-up": ({ sessionId }) => send("POST", "/prompts", { session_id: sessionId, data: "more" }),
    cancelled: ({ sessionId }) => send("POST", `/sessions/${sessionId}/cancel`),
    archived: archive,
    unarchived: (one) => put(one, "NeedsReview"),
  };

  test("the state diagram matches the code", async () => {
    const edges = new Map<string, string[]>();
    for (const steps of Object.values(STATES))
      for (const [label, happens] of Object.entries(EVENTS)) {
        const { body } = await send("POST", "/sessions/with-prompt", {
          repo: "owner/name",
          target_branch: "main",
          messages: "go",
        });
        const one: Subject = body;
        for (const step of steps) await step(one);
        const before = await uiStatus(one);
        // A run that has ended can do nothing more.
        if (steps.includes(end)) delete one.run;
        if (label !== "claimed" || before === "Pending") await happens(one);
        const after = await uiStatus(one);
        if (after === before) continue;
        const edge = `${before} --> ${after}`;
        edges.set(edge, [...new Set([...(edges.get(edge) ?? []), label])]);
      }
    const lines = [...edges].map(([edge, labels]) => `  ${edge}: ${labels.join(", ")}`);
    await expectGenerated(
      "state-machine",
      ["```mermaid", "stateDiagram-v2", "  [*] --> Pending: created", ...lines, "```"].join("\n"),
    );
  }, 60_000);
});
