import type { ClientContext, InitializeResponse } from "@agentclientprotocol/sdk";
import { cut } from "../agents/events.ts";
import { asObject, type JsonObject } from "../shared/json.ts";
import type { AcpEvents } from "./acp-events.ts";
import type { Steer } from "./mailbox.ts";
import type { Output } from "./output.ts";
import { taken, withoutCommand } from "./protocol.ts";

/** Denials that a turn's agent is told of, and how long the name of a tool is there. */
const DENIALS = 100;
const NAME_LIMIT = 200;

/** The user's words for an agent at work. Those that it does not take into its turn are the next turn, all at once. */
export interface AcpSteering {
  steer(steer: Steer): void;
  /** The protocol has no place for the reason of a denial, and some agents end their turn after one. */
  denied(tool: string, reason: string | null): void;
  /** Before a turn. */
  begin(agent: ClientContext, about: InitializeResponse, sessionId: string): void;
  /** After a turn. @returns the texts of the next one; none: there is nothing more to say. */
  end(stopReason: string): Promise<string[]>;
}

export function createAcpSteering(parts: {
  output: Output;
  events: AcpEvents;
  checkMailbox: () => void;
}): AcpSteering {
  const { output, events, checkMailbox } = parts;
  const held: Steer[] = [];
  let denials: { text: string; known: boolean }[] = [];
  /** Puts a text into the running turn, and says whether it is in. Undefined: there is none, or the agent cannot. */
  let inject: ((text: string) => Promise<boolean>) | undefined;
  let injected = Promise.resolve();
  const inTurn = (act: (into: NonNullable<typeof inject>) => Promise<void>): boolean => {
    const into = inject;
    if (into) injected = injected.then(() => act(into));
    return into !== undefined;
  };
  const print = (steer: Steer) => {
    events.flushText();
    output.print(taken(steer));
  };

  return {
    steer(steer) {
      const begun = inTurn(async (into) => {
        if (await into(steer.text)) print(steer);
        else held.push(steer);
      });
      if (!begun) held.push(steer);
    },
    denied(tool, reason) {
      if (denials.length >= DENIALS) return;
      const what = `The user did not allow ${cut(tool, NAME_LIMIT)}`;
      const denial = { text: reason ? `${what}: ${reason}` : `${what}. Go on without it.`, known: !reason };
      denials.push(denial);
      if (reason)
        inTurn(async (into) => {
          denial.known = await into(denial.text);
        });
    },
    begin(agent, about, sessionId) {
      inject = canInject(about) ? (text) => injectText(agent, sessionId, text) : undefined;
    },
    async end(stopReason) {
      inject = undefined;
      checkMailbox();
      await injected;
      // A turn that was cancelled by a denial has not heard why.
      const unheard = denials.filter(({ known }) => !known || stopReason === "cancelled");
      denials = [];
      if (stopReason !== "end_turn" && (stopReason !== "cancelled" || unheard.length === 0)) return [];
      const steers = held.splice(0);
      for (const steer of steers) print(steer);
      return [...unheard, ...steers].map(({ text }) => text);
    },
  };
}

const canInject = (about: InitializeResponse) =>
  asObject(asObject(about["_meta"])?.["steering"])?.["supported"] === true;

/** An extension that codex-acp and claude-agent-acp have. A second `session/prompt` would cancel the first one's turn elsewhere. */
async function injectText(agent: ClientContext, sessionId: string, text: string): Promise<boolean> {
  const prompt = [{ type: "text", text: withoutCommand(text) }];
  const _meta = { steering: { idleBehavior: "promptRequired" } };
  const reply = await agent
    .request<JsonObject>("_session/steering" as string, { sessionId, prompt, _meta })
    .catch(() => undefined);
  return reply?.["outcome"] === "injected";
}
