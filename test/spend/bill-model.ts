import {
  type BilledReply,
  type BilledRequest,
  type Ending,
  startBilledModel,
} from "../harness/billed-model.ts";
import { helperText, type Incident, type Job } from "./bill-plan.ts";

/** What the model has others do, when its answer is where the plan says. */
export interface Deeds {
  cancel(job: Job): Promise<void>;
  killAgent(job: Job): Promise<void>;
  killService(job: Job): Promise<void>;
  /** Resolves when the service has written down what this job's model has said so far, or its client is gone before. */
  written(job: Job, characters: number, disconnected: Promise<void>): Promise<void>;
}

const SNAPSHOTS: Readonly<Record<string, string>> = {
  "claude-opus-4-5": "claude-opus-4-5-20251101",
  "claude-sonnet-4-5": "claude-sonnet-4-5-20250929",
  "claude-haiku-4-5": "claude-haiku-4-5-20251001",
};
const OTHER = "claude-sonnet-4-5";
const HELPER_CHARACTERS = 600;

/** The model of the real Claude Code: it says what the plan of each job says, and has the trouble happen, once. */
export function startModelOf(jobs: readonly Job[], deeds: Deeds, onDeed: (trouble: string) => void) {
  const done = new Set<Incident>();
  const script = ({ body, disconnected }: BilledRequest): BilledReply & { label: string } => {
    const asked = String(body["model"]);
    const by = SNAPSHOTS[asked] ?? asked;
    const { job, turn, isHelper } = find(jobs, body);
    const { label, lengths, incidents, hour } = job;
    // The service itself asks for titles.
    if (!body.tools?.length) return { label, by, say: [{ text: "A title" }] };
    if (isHelper) return { label, by, hour, say: [{ text: words(HELPER_CHARACTERS) }] };
    const isLast = turn >= lengths.length - 1;
    const speech = { text: words(lengths[turn] ?? 40) };
    const usual = {
      ...{ label, by, hour },
      say: isLast
        ? [speech]
        : [speech, { tool: "Bash", input: { command: `echo ${label} ${turn}`, description: "Work" } }],
    };
    const incident = incidents.find((one) => one.turn === turn && !done.has(one));
    if (!incident || incident.trouble === "none") return usual;
    const { trouble, at } = incident;
    const happened = () => {
      done.add(incident);
      onDeed(trouble);
    };
    const deed = (characters: number, happens: () => Promise<Ending | undefined>) => ({
      ...usual,
      at: {
        characters,
        // Only now: another's trouble may have cut it off before.
        async happens() {
          happened();
          return await happens();
        },
      },
    });
    /** Says nothing more until its client is gone. */
    const silent = async (work: Promise<void>) => {
      await work;
      await disconnected;
      return undefined;
    };
    switch (trouble) {
      case "429":
        happened();
        return { label, status: 429, type: "rate_limit_error", retryAfter: 1 };
      case "529":
        happened();
        return { label, status: 529, type: "overloaded_error" };
      case "500":
        happened();
        return { label, status: 500, type: "api_error" };
      case "refused":
        happened();
        return { label, by, hour, refuses: true, say: [speech] };
      case "refused without output":
        happened();
        return { label, by, hour, refuses: true, say: [] };
      case "a helper of another model": {
        happened();
        const tool =
          body.tools.find(({ name }) => name === "Task" || name === "Agent")?.name ?? "no tool for helpers";
        const prompt = helperText(label);
        const input = { description: "Help", prompt, subagent_type: "general-purpose", model: "haiku" };
        return { ...usual, say: [speech, { tool, input }] };
      }
      case "answered by another model":
        happened();
        return { ...usual, by: OTHER };
      case "the stream breaks":
        return deed(at, async () => "cut");
      case "overloaded in mid-stream":
        return deed(at, async () => "overloaded_error");
      case "cancelled in mid-stream":
        return deed(at, async () => void deeds.cancel(job));
      case "cancelled before the answer":
        return deed(-1, () => silent(deeds.cancel(job)));
      case "kill -9 of the agent":
        return deed(at, async () => void deeds.killAgent(job));
      case "kill -9 of the service in mid-stream":
        return deed(at, async () => void deeds.killService(job));
      case "kill -9 of the service while the model is silent":
        return deed(at, () =>
          silent(deeds.written(job, at, disconnected).then(() => deeds.killService(job))),
        );
      case "kill -9 of the service before the answer":
        return deed(-1, () => silent(deeds.killService(job)));
    }
  };
  return startBilledModel({ script });
}

/** The job that a request is for, and how many tools it has called. */
function find(jobs: readonly Job[], body: BilledRequest["body"]) {
  const blocks = (body.messages as { role: string; content: unknown }[])
    .filter(({ role }) => role === "user")
    .flatMap(({ content }) => (Array.isArray(content) ? content : [{ type: "text", text: content }])) as {
    type: string;
    text?: string;
  }[];
  let label = "";
  let turn = 0;
  for (const { type, text } of blocks) {
    const asked =
      type === "text" ? [...String(text).matchAll(/(?:do|of) (job-\d+)\./g)].at(-1)?.[1] : undefined;
    if (asked) [label, turn] = [asked, 0];
    else if (type === "tool_result") turn += 1;
  }
  const job = jobs.find((one) => one.label === label);
  if (!job) throw new Error(`no job in ${JSON.stringify(blocks).slice(0, 500)}`);
  return { job, turn, isHelper: JSON.stringify(blocks).includes(helperText(label)) };
}

const words = (characters: number) => "All work and no play. ".repeat(characters / 20).slice(0, characters);
