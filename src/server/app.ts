import { Elysia } from "elysia";
import { errorHandler } from "../api/error-reply.ts";
import { requireKnownFields } from "../api/known-fields.ts";
import { keepModelsPlain } from "../api/plain-models.ts";
import { readJson, requestLimits } from "../api/request-body.ts";
import { attachmentRoutes } from "../attachments/routes.ts";
import { auditRoutes } from "../audit/routes.ts";
import { createGuard, type RateLimits } from "../auth/guard.ts";
import type { LocalIssuer } from "../auth/local-issuer.ts";
import type { TokenVerifier } from "../auth/verify.ts";
import { commentRoutes } from "../comments/routes.ts";
import { type Config, isLoopback } from "../config/config.ts";
import type { Database } from "../db/client.ts";
import { deadLetterRoutes } from "../dead-letters/routes.ts";
import { effectRoutes } from "../effects/routes.ts";
import { fleetRoutes } from "../fleet/routes.ts";
import type { Forges } from "../forges/open-forges.ts";
import type { Hub } from "../live/hub.ts";
import { liveRoutes } from "../live/routes.ts";
import { ticketRoutes } from "../live/ticket-routes.ts";
import { redeemTicket } from "../live/ticket-store.ts";
import { meRoutes, type Setup } from "../me/routes.ts";
import { messageRoutes } from "../messages/routes.ts";
import type { Logger } from "../observability/logger.ts";
import type { Metrics } from "../observability/metrics.ts";
import { permissionRoutes } from "../permissions/routes.ts";
import { projectRoutes } from "../projects/routes.ts";
import { promptRoutes } from "../prompts/routes.ts";
import { provenanceRoutes } from "../provenance/routes.ts";
import { pullRequestRoutes } from "../pull-requests/routes.ts";
import { openTargets } from "../pull-requests/targets.ts";
import type { Repositories } from "../repositories/repositories.ts";
import { repositoryRoutes } from "../repositories/routes.ts";
import type { Reviews } from "../review/reviews.ts";
import { reviewRoutes } from "../review/routes.ts";
import { repoRules } from "../sandboxes/git/repo-url.ts";
import { sessionRoutes } from "../sessions/routes.ts";
import { spendRules } from "../spend/spend.ts";
import type { Here } from "../system/model.ts";
import { systemRoutes } from "../system/routes.ts";
import { usageRoutes } from "../usage/routes.ts";
import { oidcRoutes } from "../web-sessions/oidc-routes.ts";
import { openProvider } from "../web-sessions/provider.ts";
import { webSessionRoutes } from "../web-sessions/routes.ts";
import { openWebSessions } from "../web-sessions/web-sessions.ts";
import { forgeWebhookRoutes } from "../webhooks/forge-routes.ts";
import { webhookRoutes } from "../webhooks/routes.ts";
import { clientAddress, isFromHere, isLocalClient } from "./client-address.ts";
import { consolePages } from "./console.ts";
import { withoutBrackets } from "./cors.ts";
import { docs } from "./docs.ts";
import { headers } from "./headers.ts";
import { type HealthDetail, healthRoutes } from "./health.ts";
import { localOnly } from "./local-only.ts";
import { createMethods } from "./methods.ts";
import { metricsRoutes } from "./metrics.ts";
import { createReadiness } from "./readiness.ts";

export interface AppOptions {
  /** Not used before the first request that needs it. */
  database: Pick<Database, "orm">;
  config: Config;
  /** Not used before the first stream is opened. */
  hub: Pick<Hub, "stream">;
  verifier: TokenVerifier;
  /** Undefined: links sign no browser in. */
  localIssuer?: LocalIssuer | undefined;
  reviews: Reviews;
  repositories: Repositories;
  forges: Forges;
  health: () => Promise<HealthDetail>;
  setup: Setup;
  /** This process and its machine, as far as `health` and `setup` do not say it. */
  here: () => Promise<Omit<Here, keyof HealthDetail | keyof Setup>>;
  /** Rejects while the queue cannot be reached; undefined where the queue is the database. */
  queueAlive?: (() => Promise<unknown>) | undefined;
  /** Why prompts wait that this process would run; undefined where it runs none. */
  refusal?: (() => Promise<string | undefined>) | undefined;
  /** Of the provenance, in PEM; undefined where no process of this machine signs. */
  publicKey: () => string | undefined;
  /** Called for each request without a valid token. @param reason an error code. */
  onRefused?: ((reason: string, address: string) => void) | undefined;
  /** Undefined: no rate limits. */
  limits?: RateLimits | undefined;
  metrics: Metrics;
  logger: Logger;
  version: string;
}

/** The whole API. It does not listen; `app.handle(request)` answers a request. */
export function createApp(options: AppOptions) {
  keepModelsPlain();
  const { database, config, hub, verifier, health, queueAlive, limits, metrics, logger, version } = options;
  const { orm } = database;
  const onRefused = (request: Request, reason: string) =>
    options.onRefused?.(reason, clientAddress(request, config.trustedProxyHops));
  const known = requireKnownFields(() => app);
  const { auth } = config;
  const provider =
    auth.mode === "oidc" && auth.client
      ? openProvider({ issuer: auth.issuer, client: auth.client })
      : undefined;
  const webSessions = openWebSessions({ orm, verifier, config, provider });
  const userOfCookie = webSessions.userOf;
  const streamVerifier = { ...verifier, isTrusted: webSessions.isTrusted };
  const input = new Elysia({ name: "open-input" })
    .onParse({ as: "scoped" }, readJson)
    .onTransform({ as: "scoped" }, known);
  const guard = createGuard({ verifier, limits, onRefused, userOfCookie })
    .onParse({ as: "scoped" }, readJson)
    .onTransform({ as: "scoped" }, known);
  const streamGuard = createGuard({
    verifier: streamVerifier,
    limits,
    onRefused,
    userOfCookie,
    redeemTicket: (ticket) => redeemTicket(orm, ticket),
  }).onTransform({ as: "scoped" }, known);
  const detailGuard = createGuard({
    verifier,
    limits,
    onRefused,
    userOfCookie,
    exempt: (request) => isFromHere(request, config),
  }).onTransform({ as: "scoped" }, known);
  const readiness = createReadiness({
    orm,
    queueAlive,
    keysKnown: verifier.ready,
    refusal: options.refusal,
  });
  // Otherwise Elysia looks for the path behind the 11th character, and misses it where Host is short.
  const app = new Elysia({ handler: { standardHostname: false } });
  const { methodsOf, ownMethodsOnly } = createMethods(app);
  return (
    app
      .use(errorHandler({ logger, methodsOf }))
      .use(metricsRoutes({ metrics, token: config.metricsToken }))
      .use(headers(config))
      .use(localOnly(config))
      .use(ownMethodsOnly())
      .use(requestLimits())
      .use(docs(version)(app))
      .use(consolePages())
      .use(
        healthRoutes({
          detail: health,
          ready: readiness,
          guard: detailGuard,
        }),
      )
      // Together: TypeScript follows a chain to some length only.
      .use(
        new Elysia()
          .use(meRoutes({ orm, config, guard, setup: options.setup }))
          .use(usageRoutes({ orm, guard, limits: spendRules(config).limits })),
      )
      .use(sessionRoutes({ orm, config, guard, reviews: options.reviews }))
      .use(provenanceRoutes({ orm, guard, publicKey: options.publicKey }))
      .use(effectRoutes({ orm, guard }))
      .use(
        pullRequestRoutes({
          orm,
          guard,
          targetOf: openTargets(repoRules(config), options.forges),
          archiveWhen: config.pullRequests.archiveWhen,
          mayMerge: config.pullRequests.merge === "on",
        }),
      )
      .use(fleetRoutes({ orm, guard }))
      .use(promptRoutes({ orm, config, guard, metrics }))
      .use(permissionRoutes({ orm, guard, metrics }))
      .use(projectRoutes({ orm, config, guard }))
      .use(messageRoutes({ orm, guard }))
      .use(repositoryRoutes({ guard, repositories: options.repositories }))
      .use(reviewRoutes({ guard, reviews: options.reviews }))
      .use(attachmentRoutes({ orm, guard }))
      .use(commentRoutes({ orm, config, guard, reviews: options.reviews }))
      .use(deadLetterRoutes({ orm, guard }))
      .use(auditRoutes({ orm, guard }))
      .use(
        systemRoutes({
          orm,
          guard,
          readiness,
          here: async () => ({ ...(await health()), agent: options.setup.agent, ...(await options.here()) }),
        }),
      )
      .use(ticketRoutes({ orm, guard }))
      .use(liveRoutes({ orm, hub, guard: streamGuard, verifier: streamVerifier }))
      .use(
        webSessionRoutes({
          orm,
          config,
          sessions: webSessions,
          provider,
          issuer: options.localIssuer,
          isLocal: (request) => isLocalClient(request, config.trustedProxyHops),
          limits,
          onRefused,
          input,
        }),
      )
      .use(
        oidcRoutes({
          config,
          sessions: webSessions,
          verifier,
          provider,
          isLoopback: (hostname) => isLoopback(withoutBrackets(hostname)),
          limits,
          onRefused,
          logger,
        }),
      )
      .use(webhookRoutes({ orm, config, limits, logger }))
      .use(forgeWebhookRoutes({ orm, config, limits }))
  );
}
