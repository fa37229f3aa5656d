import { type ScriptedReply, type ScriptedRequest, startScriptedModel } from "../harness/scripted-model.ts";
import { type Job, jobScript, jobsIn } from "./agent.ts";

/** A model that asked for ever for a job whose script cannot reach its end would keep its run for the hour that it may take. */
const MAX_TRIES = 20;

/** What Claude Code told the model with one request. */
export interface ModelRequest {
  /** The job that it works on. */
  id: string;
  /** Ids of the jobs whose prompts it knows. */
  knows: ReadonlySet<string>;
  /** Whether it is about to begin, or to begin again. */
  begins: boolean;
}

/**
 * The model of the real Claude Code: has it do each prompt's job in its shell. It lives in the process of the chaos run, as
 * the traces do.
 */
export function openModel(tracePort: number) {
  const requests: ModelRequest[] = [];
  const script = (request: ScriptedRequest): ScriptedReply => {
    // The service itself asks for titles.
    if (!request.body.tools?.length) return say("A title");
    const { jobs, done, tries, last } = readMessages(request.body.messages);
    const job = jobs.at(-1);
    if (!job) return say("There is no job.");
    const begins = !done && tries < MAX_TRIES;
    requests.push({ id: job.id, knows: new Set(jobs.map(({ id }) => id)), begins });
    if (begins)
      return [{ type: "tool_use", name: "Bash", input: { command: command(job), description: "Work" } }];
    if (!done) return fails(`${job.id} was not done in ${tries} tries: ${last}`);
    if (job.mode !== "fail") return say(`${job.id} is done.`);
    return fails("This job fails.");
  };
  const command = (job: Job) => `bash -c "$(cat <<'SCRIPT'
${jobScript({ tracePort, again: true })}
SCRIPT
)" <<< '${job.id} ${job.lines} ${job.delay} ${job.mode}'`;
  const model = startScriptedModel({ script });
  return { requests, url: model.url, stop: model.stop };
}

const say = (text: string): ScriptedReply => [{ type: "text", text }];
const fails = (message: string): ScriptedReply => ({
  error: { status: 400, type: "invalid_request_error", message },
});

/** The settings of Claude Code. @param options.program its path. @param options.modelUrl of its model. */
export const claudeAgent = ({ program, modelUrl }: { program: string; modelUrl: string }) => ({
  AGENT: "claude",
  CLAUDE_PATH: program,
  ANTHROPIC_API_KEY: "sk-ant-test",
  ANTHROPIC_BASE_URL: modelUrl,
});

/**
 * The jobs that the user asked for, in order, and, since the last one was asked for, whether its script has run to its end, how
 * often it was run, and what it printed last.
 */
function readMessages(messages: ScriptedRequest["body"]["messages"]) {
  const jobs: Job[] = [];
  let done = false;
  let tries = 0;
  let last = "";
  for (const { role, content } of messages) {
    if (role !== "user") continue;
    for (const block of blocksOf(content)) {
      const asked = block["type"] === "text" ? jobsIn(String(block["text"])) : [];
      jobs.push(...asked);
      if (asked.length > 0) {
        done = false;
        tries = 0;
      }
      if (block["type"] !== "tool_result") continue;
      done = hasEnd(block["content"], jobs.at(-1));
      tries += 1;
      last = JSON.stringify(block["content"]).slice(-300);
    }
  }
  return { jobs, done, tries, last };
}

const hasEnd = (result: unknown, job: Job | undefined) =>
  blocksOf(result).some(({ text }) => new RegExp(`^${job?.id} \\d+ end$`, "m").test(String(text)));

/** The content of a message or a tool's result, which may be a text alone. */
function blocksOf(content: unknown): Record<string, unknown>[] {
  if (typeof content === "string") return [{ type: "text", text: content }];
  return Array.isArray(content) ? content : [];
}
