import { describe, expect, test } from "bun:test";
import { type AgentDto, APIError } from "../../../sdk/src/index.ts";
import { choiceFault, choiceInput, NO_CHOICE } from "../../../src/console/choice/choice.ts";
import { lookAt } from "../../../src/console/choice/look.ts";
import { type Source, type Usual, usualOf } from "../../../src/console/choice/usual.ts";

const agent = (name: string, more: Partial<AgentDto> = {}): AgentDto => ({
  ...{
    name,
    title: name.toUpperCase(),
    version: null,
    available: true,
    reason: null,
    models: [],
    modes: ["auto"],
  },
  ...{ steering: false, max_turns: true, memory: "transcript", model_api: null, default: false },
  ...more,
});
const usual = (
  from: Source,
  known: { agent?: string; model?: string; mode?: "auto" | "ask" } = {},
): Usual => {
  const of = <Value>(value: Value | undefined) => ({
    value: value ?? null,
    from: value === undefined ? ("service" as const) : from,
  });
  return { agent: of(known.agent), model: of(known.model), mode: of(known.mode) };
};
const AGENTS = [agent("a", { default: true }), agent("b", { models: ["m1", "m2"], modes: ["auto", "ask"] })];

describe("what a choice comes to", () => {
  test("nothing is chosen: the default of the service, in few words and without a source of its own", () => {
    const look = lookAt(AGENTS, usual("project"), NO_CHOICE);
    expect(look).toMatchObject({ summary: ["A"], origin: "the usual one", hasChoices: true, mode: "auto" });
    expect(look.unchosen).toEqual({
      agent: "A (the usual one)",
      model: "Its own choice",
      mode: "Auto (the usual one)",
    });
  });

  test("one agent with one model and one mode leaves nothing to choose, whatever else is not available", () => {
    const gone = agent("gone", { available: false, reason: "It is not installed.", modes: ["auto", "ask"] });
    const only = agent("a", { default: true, models: ["m1"] });
    expect(lookAt([only, gone], usual("project"), NO_CHOICE).hasChoices).toBe(false);
    for (const more of [{ models: ["m1", "m2"] }, { modes: ["auto", "ask"] as AgentDto["modes"] }])
      expect(lookAt([{ ...only, ...more }, gone], usual("project"), NO_CHOICE).hasChoices).toBe(true);
  });

  test("a model of before is the same agent's alone, a mode of before any agent's", () => {
    const before = usual("session", { agent: "b", model: "m2", mode: "ask" });
    expect(lookAt(AGENTS, before, NO_CHOICE)).toMatchObject({
      ...{ summary: ["B", "m2", "asks first"], origin: "as before" },
      unchosen: { agent: "B (as before)", model: "m2 (as before)", mode: "Ask (as before)" },
    });
    const same = lookAt(AGENTS, before, { ...NO_CHOICE, agent: "b" });
    expect(same.unchosen.model).toBe("m2 (as before)");
    const other = lookAt(AGENTS, before, { ...NO_CHOICE, agent: "a" });
    expect(other).toMatchObject({ summary: ["A", "asks first"], unchosen: { model: "Its own choice" } });
  });

  /** Cause: what a session without a prompt has could not be seen, and was said to be its original's or its project's. */
  test("of a session without a prompt, such as a fork, it is what the session has", () => {
    const session = { agent: "b", model: "m2", mode: "ask", promptsVersion: 0 } as const;
    expect(lookAt(AGENTS, usualOf(session), NO_CHOICE)).toMatchObject({
      ...{ summary: ["B", "m2", "asks first"], origin: "as set for this session", mode: "ask" },
      unchosen: { agent: "B (as set for this session)" },
    });
    const bare = { ...session, agent: null, model: null, mode: "auto" } as const;
    expect(lookAt(AGENTS, usualOf(bare), NO_CHOICE)).toMatchObject({
      ...{ summary: ["A"], unchosen: { agent: "A (the usual one)", model: "Its own choice" } },
    });
    expect(lookAt(AGENTS, usualOf({ ...session, promptsVersion: 3 }), NO_CHOICE).origin).toBe("as before");
  });
});

test("only what was chosen is sent", () => {
  expect(choiceInput(NO_CHOICE)).toEqual({});
  expect(choiceInput({ agent: "a", model: " m1 ", mode: "ask", max_turns: "7" })).toEqual({
    ...{ agent: "a", model: "m1", mode: "ask", max_turns: 7 },
  });
});

describe("a refusal", () => {
  const refused = (code: string, msg: string) =>
    choiceFault(
      new APIError({
        ...{ status: 422, headers: new Headers(), code, msg },
        ...{ requestId: undefined, retryAfter: undefined },
      }),
    );
  test.each([
    ["agent_unavailable", "agent: no worker", "agent"],
    ["model_unavailable", "model: a does not", "model"],
    ["mode_unavailable", "mode: a does not", "mode"],
    ["invalid", "max_turns: must be an integer 1 to 1000", "max_turns"],
    ["invalid", "model: Expected string", "model"],
  ] as const)("%s, %s belongs to a field", (code, msg, field) => {
    expect(refused(code, msg)?.field).toBe(field);
  });
  test("of something else belongs to none", () => {
    expect(refused("invalid", "repo: Expected string")).toBeUndefined();
    expect(refused("invalid_prompt", "The prompt has no text.")).toBeUndefined();
    expect(choiceFault(new Error("model: away"))).toBeUndefined();
  });
});
