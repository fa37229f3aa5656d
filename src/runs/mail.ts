import { chmod, readdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { AgentEvent } from "../agents/agent.ts";
import { textEvent } from "../agents/events.ts";
import type { Orm } from "../db/client.ts";
import type { Fence } from "../lifecycle/fence.ts";
import type { Logger } from "../observability/logger.ts";
import type { Sandbox } from "../sandboxes/sandbox.ts";
import { messageOf } from "../shared/errors.ts";
import { asObject } from "../shared/json.ts";
import type { Lease } from "./leases.ts";
import { ANSWERS, type Mail, markDelivered, readMail } from "./talk-store.ts";
import type { RunWriter } from "./writer.ts";

const DECISIONS: Readonly<Record<string, "allow" | "allow_run" | "deny">> = {
  allowed: "allow",
  allowed_run: "allow_run",
};

/**
 * Puts answers and messages of a prompt's user into the mailbox of its agent, as they come. Names are deterministic and
 * contents never change: after a takeover, whatever was not recorded as delivered is written again.
 * @returns ends it, once what is under way is done.
 */
export function deliverMail(options: {
  orm: Orm;
  run: Fence;
  lease: Lease;
  sandbox: Pick<Sandbox, "mailbox">;
  writer: Pick<RunWriter, "appendOnce">;
  life: AbortSignal;
  logger: Logger;
}): { stop(): Promise<void> } {
  const { orm, run, lease, sandbox, writer, life, logger } = options;
  let working: Promise<void> | undefined;
  let again = false;
  let first = true;
  let stopped = false;

  const deliver = async () => {
    const mail = await readMail(orm, run.promptId, first);
    if (mail.answers.length + mail.steers.length > 0) {
      await writeMail(sandbox.mailbox.host, mail);
      for (const answer of mail.answers)
        if (answer.status === "expired") await writer.appendOnce(denial(answer));
      await markDelivered(orm, run, mail);
    }
    first = false;
    again ||= mail.answers.length === ANSWERS;
  };
  const work = async () => {
    do {
      again = false;
      try {
        await deliver();
      } catch (error) {
        // The next heartbeat tells of it again.
        logger.warn("answers for an agent could not be delivered", { error: messageOf(error) });
      }
    } while (again && !stopped && !life.aborted);
    working = undefined;
  };
  const wake = () => {
    if (stopped || life.aborted) return;
    again = true;
    working ??= work();
  };
  lease.onMail(wake);
  wake();
  return {
    async stop() {
      stopped = true;
      await working;
    },
  };
}

/** Said once of each question, also where two are in the same words. */
function denial({ tool, reason, request_id }: Mail["answers"][number]): AgentEvent {
  const event = textEvent(`${tool} was denied. ${reason}`);
  return { ...event, message: { ...asObject(event["message"]), id: request_id } };
}

/** Empties the mailbox for a new agent: what an earlier one was told is nothing for it. */
export async function emptyMailbox({ mailbox }: Pick<Sandbox, "mailbox">): Promise<void> {
  // Not the folder itself: a sandbox that stands by has mounted it.
  for (const name of await readdir(mailbox.host)) await rm(join(mailbox.host, name), { recursive: true });
}

async function writeMail(folder: string, { answers, steers }: Mail): Promise<void> {
  // First, because an answer can end the turn that they are for.
  for (const { id, text, at_ms } of steers)
    await put(folder, `steer-${at_ms.padStart(13, "0")}-${id}.json`, { kind: "steer", id, text });
  for (const { request_id, status, reason } of answers) {
    const decision = DECISIONS[status] ?? "deny";
    await put(folder, `answer-${request_id}.json`, { kind: "answer", request_id, decision, reason });
  }
}

/** Written, then renamed: a reader finds the whole file or none. */
async function put(folder: string, name: string, content: object): Promise<void> {
  const draft = join(folder, `.${name}`);
  await writeFile(draft, JSON.stringify(content));
  // Whatever the umask is, the sandbox's user reads it.
  await chmod(draft, 0o644);
  await rename(draft, join(folder, name));
}
