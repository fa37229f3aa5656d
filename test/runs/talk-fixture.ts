import { asc, eq } from "drizzle-orm";
import { prompt } from "../../src/db/tables.ts";
import { permissionRequest, steer } from "../../src/db/talk-tables.ts";
import { answerPermission } from "../../src/permissions/store.ts";
import { steerPrompt } from "../../src/prompts/steer-store.ts";
import { until } from "../harness/until.ts";
import { type RunFixture, shellAgent } from "./fixture.ts";

export const ID = "0b9f4a52-3f0c-4d4e-9d3a-0123456789ab";
export const question = (id: string) =>
  `echo '{"type":"system","subtype":"permission_request","request_id":"${id}","tool":"Bash","input":{"command":"make"},"title":"Build it"}'`;
/** Waits for a file of the mailbox and prints it. */
export const wait = (name: string) =>
  `until cat "$AGENT_MAILBOX"/${name} 2>/dev/null; do sleep 0.05; done; echo; echo "got it"`;
export const answered = (id: string, decision: string) =>
  `echo '{"type":"system","subtype":"permission_answered","request_id":"${id}","decision":"${decision}"}'`;
export const asking = (script: string) => shellAgent(script, { steers: true });

/** What the tests do with runs that are talked to, and read of them. */
export function talkOf(fixture: () => RunFixture) {
  const questions = (promptId: string) =>
    fixture()
      .database.orm.select()
      .from(permissionRequest)
      .where(eq(permissionRequest.promptId, promptId))
      .orderBy(asc(permissionRequest.id));
  const asked = (promptId: string) =>
    until(async () => (await questions(promptId)).find(({ status }) => status === "pending"), {
      what: "a question",
      timeoutMs: 20_000,
    });
  const answer = (id: string, decision: "allow" | "allow_run" | "deny", reason: string | null = null) =>
    answerPermission(fixture().database.orm, { userId: "alice", id, decision, reason });
  const say = (promptId: string, text: string) =>
    fixture().database.orm.transaction((tx) =>
      steerPrompt(tx, { userId: "alice", author: undefined, id: promptId, text, maxUnfinished: 100 }),
    );
  const promptsOf = (sessionId: string) =>
    fixture()
      .database.orm.select()
      .from(prompt)
      .where(eq(prompt.sessionId, sessionId))
      .orderBy(asc(prompt.seq));
  const steersOf = (promptId: string) =>
    fixture().database.orm.select().from(steer).where(eq(steer.promptId, promptId)).orderBy(asc(steer.id));
  const conversation = async (sessionId: string) =>
    (await fixture().sessionRow(sessionId))?.messages.map(({ role, content }) => `${role}: ${content}`);
  const startOf = async (script: string) => {
    const { submit, depsFor, run } = fixture();
    const { promptId, sessionId } = await submit();
    const running = run(promptId, depsFor(asking(script)));
    return { promptId, sessionId, running };
  };
  /** Starts one, and lets its worker go once it has asked. @returns the question's id. */
  const leftAsking = async (promptId: string, script: string) => {
    const { depsFor, run } = fixture();
    const shutdown = new AbortController();
    const first = run(promptId, depsFor(asking(script)), shutdown.signal);
    const { id } = await asked(promptId);
    shutdown.abort(new Error("shutting down"));
    await first;
    return id;
  };
  return { questions, asked, answer, say, promptsOf, steersOf, conversation, startOf, leftAsking };
}
