import { mkdir, rename } from "node:fs/promises";
import { join } from "node:path";
import type { Agent, AgentCommand, AgentEvent } from "../../src/agents/agent.ts";
import { linesOf } from "../../src/driver/lines.ts";
import { exitOf, openAgentFixture } from "../agents/fixture.ts";
import { until } from "../harness/until.ts";

/** A sandbox's folders with a mailbox. */
export async function openDriverFixture() {
  const fixture = await openAgentFixture();
  const mailbox = `${fixture.paths.home}/../mailbox`;
  await mkdir(mailbox);
  const put = async (name: string, content: unknown) => {
    await Bun.write(join(mailbox, `.${name}`), JSON.stringify(content));
    await rename(join(mailbox, `.${name}`), join(mailbox, name));
  };
  let steers = 0;
  return {
    ...fixture,
    mailbox,
    put,
    answer: (request_id: string, decision: string, reason: string | null = null) =>
      put(`answer-${request_id}.json`, { kind: "answer", request_id, decision, reason }),
    steer: (id: string, text: string) =>
      put(`steer-${String(++steers).padStart(13, "0")}-${id}.json`, { kind: "steer", id, text }),
    /** Starts it, and reads its events as they come. */
    talk: (agent: Agent, command: AgentCommand) => talk(agent, fixture.start(command)),
  };
}

export type Talk = ReturnType<typeof talk>;

function talk(agent: Agent, child: Bun.Subprocess<Uint8Array | Buffer, "pipe", "pipe">) {
  const reader = agent.reader();
  const events: AgentEvent[] = [];
  let ended = false;
  const read = (async () => {
    for await (const line of linesOf(child.stdout)) {
      const event = typeof line === "string" ? reader.read(line) : undefined;
      if (typeof event === "object") events.push(event);
    }
    ended = true;
  })();
  const stderr = new Response(child.stderr).text();
  return {
    child,
    events,
    /** The first event that fits, now or later. */
    async event(fits: (event: AgentEvent) => boolean): Promise<AgentEvent> {
      await until(() => events.some(fits) || ended, { what: "an event of the agent, or its end" });
      const found = events.find(fits);
      if (!found) throw new Error(`no such event: ${JSON.stringify(events)} ${await stderr}`);
      return found;
    },
    async end() {
      await read;
      await child.exited;
      const exit = exitOf(child, await stderr);
      return { exit, verdict: reader.verdict(exit), events };
    },
  };
}

/** The next question; `after` this many. */
export async function question({ event, events }: Talk, after = 0) {
  const isQuestion = (one: AgentEvent) => one["subtype"] === "permission_request";
  const found = await event((one) => isQuestion(one) && events.filter(isQuestion).indexOf(one) === after);
  return found as AgentEvent & { request_id: string; tool: string; input: Record<string, unknown> };
}

/** The ends of questions, as "decision reason". */
export const answersIn = (events: readonly AgentEvent[]) =>
  events
    .filter((one) => one["subtype"] === "permission_answered")
    .map((one) => [one["decision"], one["reason"]].filter(Boolean).join(" "));
