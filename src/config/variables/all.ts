import { flatten, type NamesOf } from "../rows.ts";
import { forges } from "./forges.ts";
import { egress, isolation, repositoryLimits } from "./isolation.ts";
import { operation } from "./operation.ts";
import { agents, claude, runs } from "./runs.ts";
import { access, authentication, http, pullRequests, storage, webhooks } from "./server.ts";
import { spending } from "./spending.ts";

/**
 * Every environment variable, one row each, by the name that its value has in Config. The Config type, .env.example and
 * --help are made from the rows.
 */
export const ROWS = {
  ...storage,
  ...http,
  ...authentication,
  ...access,
  ...claude,
  ...forges,
  ...repositoryLimits,
  ...agents,
  ...runs,
  ...spending,
  ...isolation,
  ...egress,
  ...pullRequests,
  ...webhooks,
  ...operation,
} as const;

/** The order and the headings of .env.example and --help. */
const SECTIONS = [
  { heading: "Storage (with nothing set, everything is embedded in one process)", rows: storage },
  { heading: "HTTP server", rows: http },
  { heading: "Authentication", rows: authentication },
  { heading: "Access and limits", rows: access },
  { heading: "Claude", rows: claude },
  { heading: "Repositories", rows: { ...forges, ...repositoryLimits } },
  { heading: "Agents", rows: agents },
  { heading: "Runs", rows: runs },
  { heading: "Costs of models", rows: spending },
  { heading: "Isolation of agents", rows: isolation },
  { heading: "Network of agents", rows: egress },
  { heading: "Pull requests", rows: pullRequests },
  { heading: "Webhooks", rows: webhooks },
  { heading: "Operation", rows: operation },
];

/** The variables that contain secrets. */
export const SECRET_NAMES: readonly string[] = SECTIONS.flatMap(({ rows }) => flatten(rows))
  .filter(({ secret }) => secret)
  .map(({ env }) => env);

/** How they may be given, for --help and .env.example. */
export const SECRETS_DOC = `Each of ${SECRET_NAMES.join(", ")} may instead be given by a file: NAME_FILE=/path, or a systemd credential called NAME or name. The service removes them from its environment after reading them, where the platform allows.`;

export type VariableName = NamesOf<typeof ROWS>;

/** Documentation of a variable. */
export interface Documented {
  default: string | undefined;
  doc: string;
  /** Of the section that begins with this variable. */
  heading: string | undefined;
}

/** All variables by name; each alias follows its variable. */
export const VARIABLES = Object.fromEntries(
  SECTIONS.flatMap(({ heading, rows }) =>
    flatten(rows).flatMap(({ env, alias, doc, default: fallback }, index) => [
      [env, { default: fallback, doc, heading: index === 0 ? heading : undefined }],
      ...(alias === undefined
        ? []
        : [
            [
              alias,
              { default: undefined, doc: `Alias of ${env}, which takes precedence.`, heading: undefined },
            ] as const,
          ]),
    ]),
  ),
) as Readonly<Record<VariableName, Documented>>;
