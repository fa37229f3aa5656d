import { join } from "node:path/posix";
import type { AgentImage } from "../agents/agent.ts";
import { hasAttachments } from "../attachments/blocks.ts";
import { attachmentsOf } from "../attachments/store.ts";
import type { Orm } from "../db/client.ts";
import type { ClaimedRun } from "../lifecycle/start-run.ts";
import type { Sandbox } from "../sandboxes/sandbox.ts";

/** What an agent gets of the prompt's attachments. */
interface Attached {
  /** The prompt's text, with what is there. */
  text: string;
  images: readonly AgentImage[];
}

/**
 * Puts a prompt's attachments into the sandbox, in which no program may run, and says in the text where they are: not every
 * agent sees images, and none sees files.
 * @throws RepositoryError if a borrowed sandbox does not take them.
 */
export async function giveAttachments(
  orm: Orm,
  { run, sandbox, text, signal }: { run: ClaimedRun; sandbox: Sandbox; text: string; signal: AbortSignal },
): Promise<Attached> {
  if (!hasAttachments(run.data)) return { text, images: [] };
  const attachments = await attachmentsOf(orm, run.promptId);
  if (attachments.length === 0) return { text, images: [] };
  const folder = await sandbox.putFiles(attachments, signal);
  const lines = attachments.map(
    ({ name, mediaType, size }) => `- ${join(folder, name)} (${mediaType}, ${size} bytes)`,
  );
  const note = `The user has attached these files, which are not part of the repository:\n${lines.join("\n")}`;
  const images = attachments
    .filter(({ kind }) => kind === "image")
    .map(({ mediaType, bytes }) => ({ mediaType, data: Buffer.from(bytes).toString("base64") }));
  return { text: [text, note].filter(Boolean).join("\n\n"), images };
}
