import { Elysia } from "elysia";
import { isUnchanged, weakEtag } from "../api/etag.ts";
import { errorResponses, NotModified, securedOperation, sharedModels } from "../api/schemas.ts";
import type { Guard } from "../auth/guard.ts";
import type { Orm } from "../db/client.ts";
import { readAgentReports } from "../db/worker-agents.ts";
import { fleetOf } from "./list.ts";
import { fleetModels } from "./model.ts";

/** The agents of this deployment: what its workers say, wherever this server runs. */
export function fleetRoutes({ orm, guard }: { orm: Orm; guard: Guard }) {
  return new Elysia()
    .use(guard)
    .model({ ...sharedModels, ...fleetModels })
    .get(
      "/agents",
      async (context) => {
        const reply = { agents: fleetOf(await readAgentReports(orm)) };
        return isUnchanged(context, weakEtag(reply)) ? context.status(304, undefined) : reply;
      },
      {
        detail: securedOperation("Agents")(
          "handlers_agents_list",
          "List agents",
          "What prompts may name: the agents that the workers of this deployment have, or had within the last day, by what they report themselves.",
        ),
        response: { 200: "ListAgentsOutput", 304: NotModified, ...errorResponses(401, 500) },
      },
    );
}
