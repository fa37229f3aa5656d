import { expect, test } from "bun:test";
import { describeRuns, diskFull, HALF_DONE, shellAgent } from "./fixture.ts";

const NOTICES = ["The submodule a was not fetched.", "The submodule b was not fetched."];
const AGENT = shellAgent("echo anew; cat > whole.txt");

describeRuns("what a checkout has to tell the user", (fixture) => {
  const telling = () => {
    const { provider } = fixture().machine;
    return {
      ...provider,
      open: async (...args: Parameters<typeof provider.open>) =>
        Object.assign(await provider.open(...args), { notices: NOTICES }),
    };
  };
  const toldIn = (texts: string[]) => texts.filter((text) => NOTICES.includes(text));

  test("is in the session before the agent begins", async () => {
    const { depsFor, submit, run, textsOf } = fixture();
    const { promptId } = await submit();
    await run(promptId, depsFor(AGENT, { sandboxes: telling() }));
    expect((await textsOf(promptId)).slice(0, 3)).toEqual([...NOTICES, "anew"]);
  });

  test("is told once, also when the runner fails before it has an agent and the next one checks out anew", async () => {
    const { depsFor, submit, run, textsOf, skipBackoff } = fixture();
    const { promptId } = await submit();
    const sandboxes = telling();
    const deps = depsFor(AGENT, { sandboxes });
    const memory = { ...deps.memory, restore: () => Promise.reject(diskFull()) };
    await run(promptId, { ...deps, memory });
    expect(toldIn(await textsOf(promptId))).toEqual(NOTICES);
    await skipBackoff(promptId);
    await run(promptId, deps);
    expect((await textsOf(promptId)).slice(0, 3)).toEqual([...NOTICES, "anew"]);
    expect(toldIn(await textsOf(promptId))).toEqual(NOTICES);
  });

  test("is told again by an attempt that supersedes what was told", async () => {
    const { depsFor, submit, run, textsOf, waitForText, killAgent, skipBackoff } = fixture();
    const { sessionId, promptId } = await submit();
    const sandboxes = telling();
    const first = run(promptId, depsFor(shellAgent(HALF_DONE), { sandboxes }));
    await waitForText(promptId, "begun");
    await killAgent(sessionId);
    await first;
    await skipBackoff(promptId);
    await run(promptId, depsFor(AGENT, { sandboxes }));
    const texts = await textsOf(promptId);
    expect(texts.slice(0, 3)).toEqual([...NOTICES, "begun"]);
    const again = texts.findIndex((text) => text.endsWith("starts again from a clean checkout."));
    expect(texts.slice(again + 1, again + 4)).toEqual([...NOTICES, "anew"]);
  });
});
