import { expect, test } from "bun:test";
import type { PermissionOption } from "@agentclientprotocol/sdk";
import { MOST_QUESTIONS } from "../../src/agents/talk.ts";
import { createAcpEvents } from "../../src/driver/acp-events.ts";
import { permission } from "../../src/driver/acp-permission.ts";
import { createQuestions } from "../../src/driver/questions.ts";

/** Cause: the service records so many, and the agent waited for the answer to the next one until it was killed. */
test("questions beyond what the service records are denied with a reason, however few are open", () => {
  const events: Record<string, unknown>[] = [];
  const questions = createQuestions({ print: (event) => void events.push(event) });
  const reasons: (string | null)[] = [];
  for (let n = 0; n < MOST_QUESTIONS + 2; n++) {
    questions.ask({ tool: "Bash", input: {} }, ({ reason }) => void reasons.push(reason));
    const asked = events.at(-1);
    if (asked?.["subtype"] === "permission_request")
      questions.answer(String(asked["request_id"]), { decision: "allow", reason: null });
  }
  const of = (subtype: string) => events.filter((one) => one["subtype"] === subtype);
  expect(of("permission_request")).toHaveLength(MOST_QUESTIONS);
  expect(reasons).toHaveLength(MOST_QUESTIONS + 2);
  expect(reasons.slice(-3)).toEqual([null, ...Array(2).fill(expect.stringContaining("1000 questions"))]);
  expect(of("permission_answered").at(-1)).toMatchObject({ decision: "deny", tool: "Bash" });
});

/** Cause: a question that was open at the end of a turn was withdrawn from the user, and never answered to the agent. */
test("a question of an agent of the protocol that is over is answered as cancelled", async () => {
  const questions = createQuestions({ print: () => undefined });
  const events = createAcpEvents({ print: () => undefined });
  const options: PermissionOption[] = [{ optionId: "yes", name: "Yes", kind: "allow_once" }];
  const { signal } = new AbortController();
  const reply = permission(
    { sessionId: "s", toolCall: { toolCallId: "t", kind: "edit" }, options },
    { ask: true, events, questions, signal, denied: () => undefined },
  );
  questions.cancelAll();
  const none = new Promise((resolve) => setImmediate(resolve, "no answer"));
  expect<unknown>(await Promise.race([reply, none])).toEqual({ outcome: { outcome: "cancelled" } });
});
