import { boundedValue, cleanText, cut } from "../agents/events.ts";
import { MOST_QUESTIONS } from "../agents/talk.ts";
import type { Answer } from "./mailbox.ts";
import type { Output } from "./output.ts";

/** More questions at once are denied. */
const OPEN_QUESTIONS = 32;
const INPUT_LIMIT = 64 * 1024;
const NAME_LIMIT = 200;
const TITLE_LIMIT = 1_000;

export interface Question {
  tool: string;
  input: unknown;
  title?: string | undefined;
}

/** What the agent asks and somebody answers. */
export interface Questions {
  /**
   * Asks. A tool that was allowed for the rest of the run is allowed at once.
   * @param reply called once with the answer, unless the question is cancelled. @param over called instead if it is by `cancelAll`.
   * @returns cancels it: the agent does not want to know any more.
   */
  ask(question: Question, reply: (answer: Answer) => void, over?: () => void): () => void;
  answer(requestId: string, answer: Answer): void;
  cancelAll(): void;
}

export function createQuestions({ print }: Pick<Output, "print">): Questions {
  const open = new Map<string, { tool: string; reply: (answer: Answer) => void; over: () => void }>();
  const allowedForRun = new Set<string>();
  /** Of the whole run. */
  let count = 0;
  const printEnd = (request_id: string, decision: string, more: Record<string, unknown>) =>
    print({ type: "system", subtype: "permission_answered", request_id, decision, ...more });
  const cancel = (id: string) => {
    if (open.delete(id)) printEnd(id, "cancelled", { reason: null });
  };
  return {
    ask(question, reply, over = () => undefined) {
      const id = crypto.randomUUID();
      const tool = cut(cleanText(question.tool), NAME_LIMIT);
      const atOnce = allowedForRun.has(tool)
        ? ({ decision: "allow_run", reason: null } as const)
        : denial(open.size, count);
      if (atOnce) {
        printEnd(id, atOnce.decision, { reason: atOnce.reason, tool });
        reply(atOnce);
        return () => undefined;
      }
      count += 1;
      open.set(id, { tool, reply, over });
      const title = question.title && cut(cleanText(question.title), TITLE_LIMIT);
      const input = boundedValue(question.input, INPUT_LIMIT);
      const asked = { request_id: id, tool, input, ...(title && { title }) };
      print({ type: "system", subtype: "permission_request", ...asked });
      return () => cancel(id);
    },
    answer(requestId, answer) {
      const asked = open.get(requestId);
      if (!asked) return;
      open.delete(requestId);
      if (answer.decision === "allow_run") allowedForRun.add(asked.tool);
      printEnd(requestId, answer.decision, { reason: answer.reason });
      asked.reply(answer);
    },
    cancelAll() {
      for (const [id, { over }] of [...open]) {
        cancel(id);
        over();
      }
    },
  };
}

/** Nobody would be asked these, and the agent would wait. */
function denial(open: number, count: number): Answer | undefined {
  if (count >= MOST_QUESTIONS)
    return {
      decision: "deny",
      reason: `The agent has asked ${MOST_QUESTIONS} questions in this run, the most that it may ask.`,
    };
  if (open >= OPEN_QUESTIONS)
    return { decision: "deny", reason: `There are ${OPEN_QUESTIONS} questions without an answer already.` };
  return undefined;
}
