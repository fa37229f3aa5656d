import { SECRETS_DOC, VARIABLES } from "../../src/config/variables/all.ts";

/** The text of .env.example: every variable of src/config/, commented out, with its default and its documentation. */
export function envExample(): string {
  const blocks = Object.entries(VARIABLES).map(
    ([name, { default: fallback, doc, heading }]) =>
      `${heading ? `\n## ${heading}\n` : ""}\n# ${doc}\n#${name}=${fallback ?? ""}\n`,
  );
  return `# Copy to .env and uncomment what you change. The values are the defaults; an empty one means unset.
# Made from src/config/variables/ by: UPDATE_ENV_EXAMPLE=1 bun test test/config/env-example.test.ts
# ${SECRETS_DOC}
${blocks.join("")}`;
}
