import type { VariableName } from "../../src/config/variables.ts";
import { VARIABLES } from "../../src/config/variables.ts";

/** The headings of .env.example, each with the first variable under it; the order is that of VARIABLES. */
const HEADINGS: Partial<Record<VariableName, string>> = {
  DATABASE_URL: "Storage. With nothing set, everything is embedded in one process.",
  PORT: "HTTP",
  AUTH_MODE: "Who may use it",
  ANTHROPIC_API_KEY: "Claude",
  GITHUB_TOKEN: "Repositories",
  AGENT: "Agents",
  WORKER_CONCURRENCY: "Runs",
  CORS_ORIGINS: "Web UIs and operation",
};

/** The text of .env.example: every variable of src/config.ts, commented out, with its default and its line of help. */
export function envExample(): string {
  const blocks = Object.entries(VARIABLES).map(([name, [fallback, help]]) => {
    const heading = HEADINGS[name as VariableName];
    return `${heading ? `\n## ${heading}\n` : ""}\n# ${help}\n#${name}=${fallback ?? ""}\n`;
  });
  return `# Copy to .env and remove the # of what you change. What stands there is the default; nothing: unset.
# Written from src/config.ts by: UPDATE_ENV_EXAMPLE=1 bun test test/env-example.test.ts
${blocks.join("")}`;
}
