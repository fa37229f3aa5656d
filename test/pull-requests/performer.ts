import { openPostgres } from "../../src/db/postgres.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { performDue } from "../../src/pull-requests/effect-loop.ts";
import { wantPullRequest } from "../../src/pull-requests/store.ts";
import { Secret } from "../../src/shared/secret.ts";
import { effectDeps } from "./fixture.ts";

/** A process that is killed: it wants a pull request and does not commit, or performs what is due. */
const [mode, url, forgeUrl = "", token = "", sessionId = ""] = process.argv.slice(2);
const database = await openPostgres({
  url: String(url),
  poolMax: 4,
  logger: createLogger({ level: "silent" }),
});
const deps = effectDeps(database, {
  kind: "github",
  url: forgeUrl,
  apiUrl: `${forgeUrl}/api/v3`,
  credential: { kind: "token", token: new Secret(token) },
  setting: "FORGES",
});
const until = new AbortController().signal;
if (mode === "want")
  await database.orm.transaction(async (tx) => {
    await wantPullRequest(tx, { userId: "alice", sessionId, targetOf: deps.targetOf, request: {} });
    console.log("wanted");
    await new Promise(() => setInterval(() => undefined, 1_000));
  });
else await performDue(deps, until);
console.log("performed");
setInterval(() => undefined, 1_000);
