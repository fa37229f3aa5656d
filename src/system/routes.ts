import { Elysia } from "elysia";
import { isUnchanged, weakEtag } from "../api/etag.ts";
import { errorResponses, NotModified, securedOperation, sharedModels } from "../api/schemas.ts";
import type { Guard } from "../auth/guard.ts";
import { requireAdmin } from "../auth/require-admin.ts";
import type { Orm } from "../db/client.ts";
import { type Here, type ReadinessCheck, type SystemStatus, systemModels } from "./model.ts";
import { listProcesses, listRefusedHosts, listRuns, readQueue } from "./store.ts";

/** How the service is doing, for admins. */
export function systemRoutes(options: {
  orm: Orm;
  guard: Guard;
  readiness: () => Promise<ReadinessCheck[]>;
  here: () => Promise<Here>;
}) {
  const { orm, guard, readiness, here } = options;
  return new Elysia()
    .use(guard)
    .model({ ...sharedModels, ...systemModels })
    .get(
      "/system/status",
      async (context) => {
        const { user, status } = context;
        requireAdmin(user);
        const [checks, process, processes, runs, queue, refused] = await Promise.all([
          readiness(),
          here(),
          listProcesses(orm),
          listRuns(orm),
          readQueue(orm),
          listRefusedHosts(orm),
        ]);
        const { waiting, delayed, running, oldest, sandboxesHeld } = queue;
        const reply: SystemStatus = {
          ready: checks.every(({ ok }) => ok),
          checks,
          here: process,
          processes: processes.map(({ lastSeenAt, ...one }) => ({
            ...one,
            last_seen_at: lastSeenAt.toISOString(),
          })),
          runs: runs.map((run) => ({
            prompt_id: run.promptId,
            session_id: run.sessionId,
            attempt: run.attempt,
            started_at: run.startedAt?.toISOString() ?? null,
            process: run.process,
            host: run.host,
            lease_expires_at: run.leaseExpiresAt.toISOString(),
            waiting_for: run.waitingFor,
          })),
          queue: { waiting, delayed, running, oldest_waiting_seconds: oldest },
          sandboxes_held: sandboxesHeld,
          refused_hosts: refused.map(({ host, port, count, lastAt, sessionId }) => ({
            host,
            port,
            count,
            last_at: lastAt.toISOString(),
            session_id: sessionId,
          })),
        };
        // The uptime alone is no change: with it, no answer would be the same as the one before.
        const { uptime_seconds: _, ...lasting } = process;
        const etag = weakEtag({ ...reply, here: lasting });
        return isUnchanged(context, etag) ? status(304, undefined) : reply;
      },
      {
        detail: securedOperation("System")(
          "handlers_system",
          "Get the state of the service",
          "For the role admin. Readiness, processes and what they run, the queue, isolation, disk, and the hosts that agents were refused. What it costs does not grow with what waits.",
        ),
        response: { 200: "SystemStatusOutput", 304: NotModified, ...errorResponses(401, 403, 500) },
      },
    );
}
