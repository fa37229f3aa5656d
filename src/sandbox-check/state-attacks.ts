import { mkdirSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Attack, all, blocked, codeOf, failed, open } from "./attack.ts";
import { plantForNextPrompt, whatIsPinned, whatNextPromptFinds } from "./planted-settings.ts";

/** What a prompt leaves in the agent's state folder, for the service to read and for the next prompt. */
export const STATE_ATTACKS: readonly Attack[] = [
  {
    id: "state-planted-settings",
    title: "leave hooks, settings, instructions and servers for the next prompt of the session",
    stoppedBy: "the transcript alone is kept; settings are pinned by arguments",
    inside: plantForNextPrompt,
    outside: async (host) => all([await whatNextPromptFinds(host), whatIsPinned(host)]),
  },
  {
    id: "limit-sparse-transcript",
    title: "leave a transcript of 40 GB, which no disk quota counts, for the service to read",
    stoppedBy: "size limit of files; the service reads a bounded part of regular files",
    inside({ paths, sessionId }) {
      const folder = join(paths.state, "projects", "-workspace");
      mkdirSync(folder, { recursive: true });
      const file = join(folder, `${sessionId}.jsonl`);
      writeFileSync(file, "{}\n");
      const most = [40, 8, 1, 0.05].find((size) => truncated(file, Math.round(size * 1024 ** 3)));
      return most ? blocked(`${most} GB were made`) : failed("no large file could be made");
    },
    async outside({ sandbox, request }) {
      const { createClaudeAgent } = await import("../agents/claude.ts");
      const agent = createClaudeAgent({ program: () => undefined, missing: "", model: undefined });
      try {
        await agent.discardTranscripts(sandbox.hostPaths.state, request.sessionId, "unusable");
        const found = await agent.hasTranscript(sandbox.hostPaths.state, request.sessionId);
        return found ? open("the service would resume from it") : blocked("it is not resumed from");
      } catch (error) {
        return open(codeOf(error));
      }
    },
  },
];

/** False: larger than a file may be here. */
function truncated(file: string, bytes: number): boolean {
  try {
    truncateSync(file, bytes);
    return true;
  } catch {
    return false;
  }
}
