import { expect, test } from "bun:test";
import { eq } from "drizzle-orm";
import type { AgentRequest } from "../../src/agents/agent.ts";
import { readPromptData } from "../../src/attachments/read-prompt.ts";
import { storeAttachments } from "../../src/attachments/store.ts";
import { prompt } from "../../src/db/tables.ts";
import { png } from "../attachments/pictures.ts";
import { describeRuns, type RunFixture, shellAgent } from "./fixture.ts";

const CONTENT = "a,b\n1,2\n";
const base64 = (bytes: Uint8Array | string) => ({
  type: "base64",
  data: Buffer.from(bytes).toString("base64"),
});

/** A prompt with a picture, and a file with a name of its sender's. */
async function submitWith({ submit, database }: RunFixture) {
  const { orm } = database;
  const ids = await submit();
  const sent = [
    { content: "Look" },
    { type: "image", source: base64(png()) },
    { type: "file", name: "the data's $(x).csv", source: base64(CONTENT) },
  ];
  const { data, attachments } = await readPromptData(orm, sent, { userId: "alice", field: "data" });
  await orm.update(prompt).set({ data }).where(eq(prompt.id, ids.promptId));
  await storeAttachments(orm, { userId: "alice", promptId: ids.promptId, attachments });
  return ids;
}

describeRuns("attachments of a prompt", (fixture) => {
  test("are in a folder that the prompt names and git does not see; pictures are given to agents that see, too", async () => {
    const { depsFor, run, textsOf, sessionRow, fileOnBranch } = fixture();
    const requests: AgentRequest[] = [];
    const shell = shellAgent(
      'cd "$HOME/attachments" && ls -1 && cat the*.csv && stat -c %a . image-1.png && cat && touch mine && cd - >/dev/null && echo work > work.txt && git status --short',
    );
    const agent = {
      ...shell,
      command(request: AgentRequest) {
        requests.push(request);
        return shell.command(request);
      },
    };
    const { sessionId, promptId } = await submitWith(fixture());
    await run(promptId, depsFor(agent));
    const text = (await textsOf(promptId)).join("\n");
    expect(text).toContain("image-1.png\nthe data's $(x).csv\na,b\n1,2\n700\n600\nLook\n");
    expect(text).toMatch(
      /\n- (\/\S+)\/image-1\.png \(image\/png, 33 bytes\)\n- \1\/the data's \$\(x\)\.csv \(/,
    );
    expect(text).not.toContain("?? attachments");
    expect(requests.map(({ images }) => images)).toEqual([
      [{ mediaType: "image/png", data: png().toString("base64") }],
    ]);
    const branch = (await sessionRow(sessionId))?.branch;
    expect(await fileOnBranch(branch, "work.txt")).toBe("work\n");
    await expect(fileOnBranch(branch, "attachments/mine")).rejects.toThrow();
  });
});
