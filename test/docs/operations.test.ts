import { expect, test } from "bun:test";
import { join } from "node:path";
import { SQL } from "bun";
import { openPostgres } from "../../src/db/postgres.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { AUDIENCE, makeKey, startIssuer } from "../auth/issuer.ts";
import { createDeployment } from "../harness/backend.ts";
import { startForgeHost } from "../harness/forge-host.ts";
import { downloadGithubDescriptions } from "../harness/github-description.ts";
import { startGithubStandIn } from "../harness/github-stand-in.ts";
import { freePort } from "../harness/machine.ts";
import { makeRepository } from "../harness/repository.ts";
import { FAILURE, mustClaim, writerOf } from "../harness/seed.ts";
import { describeWith, unavailable } from "../harness/services.ts";
import { until } from "../harness/until.ts";
import { ROOT } from "./guide.ts";
import { client, makeGate, openGuide, operator, stop } from "./operator.ts";

const GUIDE = "docs/OPERATIONS.md";
const LONG = 240_000;

const lacking = ["pg_dump", "pg_restore", "promtool"].filter((one) => !Bun.which(one));
if (lacking.length > 0) unavailable({ name: GUIDE, reason: `${lacking.join(", ")} missing` });
else
  describeWith(["postgres", "redis"], GUIDE, () => {
    test(
      "as written: deploy, watch, upgrade, drain, back up and restore, rotate keys, dead letters",
      async () => {
        const guide = await openGuide(GUIDE);
        await using deployment = await createDeployment("redis");
        const database = String(deployment.env["DATABASE_URL"]);
        await using sql = new SQL({ url: database, max: 1 });
        // An empty database, as the guide expects.
        for (const {
          name,
        } of await sql`select nspname as name from pg_namespace where nspname !~ '^(pg_|information_schema)'`)
          await sql.unsafe(`drop schema "${name}" cascade`);
        await sql`create schema public`;
        const repository = await makeRepository();
        await downloadGithubDescriptions();
        const standIn = await startGithubStandIn();
        const { token: githubToken } = standIn.addToken();
        const github = await startForgeHost({
          ...{ api: standIn.url, path: "owner/name", source: repository.path },
          ...{ root: join(deployment.folder, "host"), passwords: () => [githubToken.reveal()] },
        });
        const key = await makeKey("one", "RS256");
        const issuer = await startIssuer(key);
        const admin = { sub: "ops", realm_access: { roles: ["admin"] } };
        const token = await issuer.token(key, admin);
        const gate = await makeGate();
        await gate.open();
        const metricsToken = "a-token-for-metrics";
        const machine = await operator(deployment, {
          ...gate.env,
          AUTH_MODE: "oidc",
          // The deployment's own; users of an issuer reach no paths, and git's server here is not at a public address.
          LOCAL_REPOSITORIES: "",
          PRIVATE_GIT_HOSTS: new URL(github.url).host,
          KEYCLOAK_ISSUER: issuer.url,
          AUTH_AUDIENCE: AUDIENCE,
          METRICS_TOKEN: metricsToken,
          GITHUB_URL: github.url,
          GITHUB_TOKEN: githubToken.reveal(),
        });

        await machine.run(guide.take("Deploy"));
        const serve = guide.take("Deploy");
        // The guide's port may be in use here.
        const work = guide.take("Deploy").replace("9464", String(await freePort()));
        let server = await machine.start(serve);
        let worker = await machine.start(work);
        const api = client(() => server.url, token);
        const first = await api.submit("owner/name", "one");
        await api.done(first.sessionId);

        const watched = { URL: server.url, TOKEN: token };
        expect(await machine.run(guide.take("Watch"), watched, ROOT)).toContain(
          'route="/sessions/with-prompt"',
        );

        await gate.shut();
        const second = await api.submit("owner/name", "two");
        await until(async () => (await api.said(second.promptId, "begun")) === 1, {
          what: "the agent to begin",
        });
        await machine.run(guide.take("Upgrade"));
        await stop(worker);
        worker = await machine.start(work);
        await stop(server);
        server = await machine.start(serve);
        await gate.open();
        await api.done(second.sessionId);
        expect(await api.said(second.promptId, "begun")).toBe(1);

        await gate.shut();
        const third = await api.submit("owner/name", "three");
        const owner = async () =>
          (await sql`select lease_owner from prompt where id = ${third.promptId}`)[0].lease_owner as
            | string
            | null;
        await until(async () => (await api.said(third.promptId, "begun")) === 1, {
          what: "the agent to begin",
        });
        const before = await owner();
        await stop(worker);
        const last = await machine.start(guide.take("Drain"), { SHUTDOWN_TIMEOUT_SECONDS: "1" });
        await until(async () => ![before, null].includes(await owner()), { what: "the agent's new runner" });
        await stop(last);
        const [waits] = await sql`select status from prompt where id = ${third.promptId}`;
        expect(waits.status).toBe("Queued");
        await gate.open();
        const elsewhere = { DATA_DIR: join(deployment.folder, "elsewhere") };
        worker = await machine.start(work, elsewhere);
        await api.done(third.sessionId);
        await stop(worker);

        worker = await machine.start(work);
        guide.take("Back up and restore");
        guide.take("Back up and restore");
        await machine.run(guide.take("Back up and restore"));
        await api.ask("DELETE", `/sessions/${first.sessionId}`);
        expect((await api.ask("GET", `/sessions/${first.sessionId}`)).status).toBe(404);
        await stop(worker, server);
        await machine.run(guide.take("Back up and restore"));
        server = await machine.start(serve, { METRICS_TOKEN: "another-one" });
        worker = await machine.start(work);
        expect(await api.said(first.promptId, "ended")).toBe(1);
        const { status } = await api.ask("POST", "/prompts", { session_id: first.sessionId, data: "again" });
        expect(status).toBe(200);
        await until(
          async () =>
            (await api.ask("GET", `/sessions/${first.sessionId}/prompts`)).body.prompts.every(
              (one: { status: string }) => one.status === "Completed",
            ),
          { what: "the follow-up" },
        );

        // METRICS_TOKEN was rotated with the restart above; now the issuer's key.
        const metrics = (given: string) =>
          fetch(`${server.url}/metrics`, { headers: { authorization: `Bearer ${given}` } });
        expect([(await metrics(metricsToken)).status, (await metrics("another-one")).status]).toEqual([
          401, 200,
        ]);
        const next = await makeKey("two", "RS256");
        await issuer.publish(next);
        const renewed = await issuer.token(next, admin);
        const rotated = client(() => server.url, renewed);
        expect((await rotated.ask("GET", "/me")).status).toBe(200);
        expect((await api.ask("GET", "/me")).status).toBe(401);

        await stop(worker);
        const dead = await rotated.submit("owner/name", "dead");
        const direct = await openPostgres({
          url: database,
          poolMax: 1,
          logger: createLogger({ level: "silent" }),
        });
        const away = { waitingFor: "git_host", delayMs: 3_600_000, failure: FAILURE, outage: null } as const;
        await writerOf(direct.orm, await mustClaim(direct, dead.promptId)).postpone(away);
        const waiting = { URL: server.url, TOKEN: renewed, PROMPT: dead.promptId };
        expect(await machine.run(guide.take("Outages of what the service needs"), waiting)).toContain(
          "Wait ended",
        );
        const run = await mustClaim(direct, dead.promptId);
        const end = { error: "It broke.", errorKind: "poison", usage: {}, content: "", dead: true } as const;
        await writerOf(direct.orm, run).finish({ ...end, status: "Failed" });
        await direct.close();
        const replies = await machine.run(guide.take("Dead letters"), { URL: server.url, TOKEN: renewed });
        expect(replies).toContain('"last_error":"It broke."');
        expect(replies).toContain("1 queued again");
        worker = await machine.start(work);
        await rotated.done(dead.sessionId);
        await stop(worker, server);
        // The rest is for embedded mode, see below.
        expect(guide.left()).toEqual(["Rotate keys"]);
        await issuer.stop();
        await gate.shut();
        await github.stop();
        await standIn.stop();
        await repository.remove();
      },
      LONG,
    );
  });

test(
  `${GUIDE}, embedded: back up, restore, rotate the local issuer's key`,
  async () => {
    const guide = await openGuide(GUIDE);
    const serve = "prompt-backend";
    await using deployment = await createDeployment("embedded");
    const repository = await makeRepository();
    const machine = await operator(deployment, { AUTH_MODE: "local" });
    const tokenIn = (out: string) => out.trim().split("\n").at(-1) ?? "";
    let server = await machine.start(serve);
    const old = client(() => server.url, tokenIn(await machine.run("prompt-backend token --user me")));
    const { sessionId } = await old.submit(repository.path, "one");
    await old.done(sessionId);
    await machine.run(guide.take("Back up and restore"));
    await stop(server);
    const restored = { DATA_DIR: join(deployment.folder, "restored") };
    await machine.run(guide.take("Back up and restore"), restored);
    server = await machine.start(serve, restored);
    await old.done(sessionId);
    await stop(server);
    const renewed = tokenIn(await machine.run(guide.take("Rotate keys"), restored));
    server = await machine.start(serve, restored);
    expect((await old.ask("GET", "/me")).status).toBe(401);
    expect((await client(() => server.url, renewed).ask("GET", `/sessions/${sessionId}`)).status).toBe(200);
    await stop(server);
    await repository.remove();
  },
  LONG,
);
