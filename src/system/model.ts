import { type Static, Type as t } from "@sinclair/typebox";
import { AGENT_NAMES } from "../agents/agent.ts";
import { enumOf, Id, nullable, Timestamp, WaitingFor } from "../api/schemas.ts";
import { SANDBOX_PROVIDERS } from "../db/columns.ts";
import { COUNTED_TO, MAX_HOSTS, MAX_PROCESSES, MAX_RUNS, REFUSALS_READ } from "./store.ts";

const CHECKS = ["database", "tasks", "queue", "identity_provider", "isolation"] as const;

const ReadinessCheck = t.Object({
  name: enumOf(CHECKS, { examples: ["tasks"] }),
  ok: t.Boolean({ examples: [true] }),
  reason: nullable(t.String({ description: "Why it is not, the part of a sentence", examples: [null] })),
});
export type ReadinessCheck = Static<typeof ReadinessCheck>;

const Host = t.String({
  description: "A machine, by its DATA_DIR",
  examples: ["5b0f6d1e-6a3c-4f0e-9a51-2f7c1d8e4b90"],
});
const ProcessId = t.String({
  description: "New at each start of the process",
  examples: ["0f8fad5b-d9cb-469f-a165-70867728950e"],
});
const Count = t.Integer({ maximum: COUNTED_TO, examples: [3] });
const Seconds = t.Integer({ minimum: 0, examples: [12] });

const WorkerDto = t.Object({
  process: ProcessId,
  host: Host,
  tasks: t.Array(t.String(), { examples: [["prompt-runner", "retention"]] }),
  last_seen_at: Timestamp,
  alive: t.Boolean({ description: "Seen within 30 s", examples: [true] }),
});

const RunDto = t.Object({
  prompt_id: Id,
  session_id: Id,
  attempt: t.Integer({ description: "From 1", examples: [1] }),
  started_at: nullable(Timestamp),
  process: nullable({
    ...ProcessId,
    description: "The process that runs it, one of `processes` while that is alive; null: none does now",
  }),
  host: nullable({ ...Host, description: "The machine of its agent; null: no agent has started" }),
  lease_expires_at: {
    ...Timestamp,
    description: "Unless its process renews it, others take the run over then",
  },
  waiting_for: nullable(WaitingFor),
});

const RefusedHostDto = t.Object({
  host: t.String({ examples: ["registry.example.com"] }),
  port: t.Integer({ examples: [443] }),
  count: t.Integer({ description: "Refused requests", examples: [4] }),
  last_at: Timestamp,
  session_id: { ...Id, description: "Whose agent asked last" },
});

const Here = t.Object(
  {
    version: t.String({ examples: ["0.1.0"] }),
    uptime_seconds: Seconds,
    host: Host,
    tasks: t.Array(t.String(), { description: "What this process runs", examples: [["prompt-runner"]] }),
    agent: t.Object({
      name: enumOf(AGENT_NAMES, { examples: ["claude"] }),
      reason: nullable(t.String({ description: "Why it is the demo; null: it is not", examples: [null] })),
    }),
    isolation: t.Object({
      isolated: t.Boolean({ examples: [true] }),
      detail: t.String({ examples: ["agents run under bubblewrap"] }),
    }),
    database: t.String({ description: "embedded or postgres", examples: ["postgres"] }),
    queue: t.String({ description: "embedded, postgres or redis", examples: ["redis"] }),
    sandboxes: t.Object({
      provider: enumOf(SANDBOX_PROVIDERS, { description: "Of new sandboxes", examples: ["local"] }),
      disk_limit_bytes: t.Integer({ description: "Of each sandbox", examples: [10_737_418_240] }),
      disk_limit_enforced: t.Boolean({ description: "false: it is only watched", examples: [true] }),
      disk_detail: t.String({ examples: ["project quotas"] }),
    }),
    disk_free_bytes: nullable(
      t.Integer({
        description: "Where the checkouts are; null: it could not be read",
        examples: [53_687_091_200],
      }),
    ),
  },
  { description: "The process that answers, and its machine" },
);
export type Here = Static<typeof Here>;

export const systemModels = {
  SystemStatusOutput: t.Object({
    ready: t.Boolean({ description: "As /health/ready says of this process", examples: [true] }),
    checks: t.Array(ReadinessCheck, { description: "Of what this process needs" }),
    here: Here,
    processes: t.Array(WorkerDto, {
      description: `Processes that run tasks, and those that died within a day; the last seen ones first, up to ${MAX_PROCESSES}`,
    }),
    runs: t.Array(RunDto, {
      description: `Prompts that run, those first whose lease ends first, up to ${MAX_RUNS}`,
    }),
    queue: t.Object(
      {
        waiting: {
          ...Count,
          description: "Queued for their turn, also behind earlier ones of their session",
        },
        delayed: { ...Count, description: "Tried again later" },
        running: Count,
        oldest_waiting_seconds: nullable({
          ...Seconds,
          description:
            "Of those that were counted, for how long the oldest has been waiting; null: none waits",
        }),
      },
      { description: `Prompts of all users, counted up to ${COUNTED_TO}: that many or more` },
    ),
    sandboxes_held: { ...Count, description: `Sandboxes that sessions hold, up to ${COUNTED_TO}` },
    refused_hosts: t.Array(RefusedHostDto, {
      description: `What agents asked for on the network and was refused, in the newest ${REFUSALS_READ} entries, the last refused host first, up to ${MAX_HOSTS}`,
    }),
  }),
};
export type SystemStatus = Static<typeof systemModels.SystemStatusOutput>;
