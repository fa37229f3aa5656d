import type { SessionDto } from "../../../sdk/src/index.ts";

/** What a prompt waits for, as people say it. */
const WAITS: Readonly<Record<NonNullable<SessionDto["waitingFor"]>, string>> = {
  git_host: "the git host",
  model: "the model",
  sandbox: "a sandbox",
  database: "the database",
  machine: "the machine",
  disk: "disk space",
  isolation: "isolation",
  agent: "its agent",
  permission: "your answer",
  budget: "its budget",
};

/** @returns what it waits for; what a newer service names and this page does not know stays as it is. */
export const waitText = (waitingFor: NonNullable<SessionDto["waitingFor"]>): string =>
  WAITS[waitingFor] ?? waitingFor;
