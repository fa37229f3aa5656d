import type { ModelApi, RunMode } from "../db/columns.ts";

/** An agent beside the built-in ones. */
export interface DeclaredAgent {
  name: string;
  title: string;
  command: readonly [string, ...string[]];
  protocol: "claude" | "acp" | "lines";
  models: readonly string[];
  modes?: readonly RunMode[];
  steering?: boolean;
  modelApi?: ModelApi;
  baseUrlEnv?: string;
  keyEnv?: string;
}
