import { expect, test } from "bun:test";
import { asc, eq } from "drizzle-orm";
import { egressRules } from "../../src/config/egress-rules.ts";
import { auditPending, egressRequest } from "../../src/db/safety-tables.ts";
import { Secret } from "../../src/shared/secret.ts";
import { describeRuns, type RunFixture, shellAgent } from "./fixture.ts";

/** Opens a tunnel through the gateway, once for each target, as the environment says. */
const asks = (...targets: string[]) =>
  targets.map((one) => `curl -s -m 10 -o /dev/null -p -x "$HTTPS_PROXY" http://${one}/ || true`).join("\n");

const rowsOf = ({ database }: RunFixture, promptId: string) =>
  database.orm
    .select()
    .from(egressRequest)
    .where(eq(egressRequest.promptId, promptId))
    .orderBy(asc(egressRequest.id));

describeRuns("what a run asks for on the network", (fixture) => {
  test("a refused host is one event and one row, however often it is asked for", async () => {
    const { submit, run, depsFor, textsOf } = fixture();
    const { promptId } = await submit();
    await run(promptId, depsFor(shellAgent(asks("example.com:443", "example.com:443", "example.com:80"))));
    const texts = await textsOf(promptId);
    expect(texts.filter((text) => text?.startsWith("refused: "))).toEqual([
      "refused: example.com:443; allow it with EGRESS_ALLOW=example.com:443 and EGRESS=list",
      "refused: example.com:80; allow it with EGRESS_ALLOW=example.com:80 and EGRESS=list",
    ]);
    // The run's last event is still about its work.
    expect(texts.at(-1)).toStartWith("No changes");
    expect(await rowsOf(fixture(), promptId)).toMatchObject([
      { host: "example.com", port: 443, decision: "refused", rule: "EGRESS=deny", count: 2 },
      { host: "example.com", port: 80, decision: "refused", rule: "EGRESS=deny", count: 1 },
    ]);
  });

  test("an allowed address is reached, by tunnel and by plain HTTP", async () => {
    await using registry = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: () => new Response("a package"),
    });
    const { submit, run, depsFor, textsOf } = fixture();
    const { promptId } = await submit();
    const target = `127.0.0.1:${registry.port}`;
    const script = `for tunnel in -p ""; do curl -s --noproxy "" -m 10 $tunnel -x "$HTTP_PROXY" http://${target}/; echo; done`;
    const egress = { mode: "list" as const, allow: egressRules(target) };
    await run(promptId, depsFor(shellAgent(script), { egress }));
    expect((await textsOf(promptId)).filter((text) => text === "a package")).toHaveLength(2);
    expect(await rowsOf(fixture(), promptId)).toMatchObject([
      { decision: "allowed", rule: target, count: 2 },
    ]);
  });

  test("a run that asks for a thousand hosts fills neither the session nor the table", async () => {
    const { submit, run, depsFor, textsOf } = fixture();
    const { promptId } = await submit();
    const script = `seq 1000 | sed 's/.*/h&.example/' >hosts
      while read -r host; do echo "url=http://$host:443/"; echo "output=/dev/null"; done <hosts >config
      rm hosts; curl -s -m 60 -p -x "$HTTPS_PROXY" -Z -K config; rm config`;
    await run(promptId, depsFor(shellAgent(script)));
    const refused = (await textsOf(promptId)).filter((text) => /refused/.test(text ?? ""));
    expect(refused).toHaveLength(21);
    expect(refused.at(-1)).toBe("More hosts were refused; GET /sessions/{id}/egress lists them.");
    const rows = await rowsOf(fixture(), promptId);
    expect(rows).toHaveLength(501);
    expect(rows.reduce((sum, { count }) => sum + count, 0)).toBe(1_000);
    expect(rows.find(({ host }) => host === "other")).toMatchObject({ port: 0, count: 500 });
  });

  test("an agent that outlives its runner finds the same gateway and token again, and nothing is told twice", async () => {
    const { submit, run, depsFor, textsOf, detachAfter } = fixture();
    const keys: (string | null)[] = [];
    let restarted = false;
    await using upstream = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch(request) {
        keys.push(request.headers.get("x-api-key"));
        return new Response("the model", { status: restarted ? 200 : 500 });
      },
    });
    const script = `${asks("before.example:443")}
      until curl -sf -m 5 -d '{"model":"claude-haiku-4-5","max_tokens":1,"messages":[]}' -H "x-api-key: $ANTHROPIC_API_KEY" "$ANTHROPIC_BASE_URL/v1/messages"; do sleep 0.1; done
      echo; ${asks("before.example:443", "after.example:443")}`;
    const refused = (host: string) =>
      `refused: ${host}:443; allow it with EGRESS_ALLOW=${host}:443 and EGRESS=list`;
    const anthropic = { upstream: `http://127.0.0.1:${upstream.port}`, apiKey: new Secret("the-key") };
    const deps = depsFor(shellAgent(script, { modelApi: "anthropic" }), {
      model: { anthropic, openai: undefined, google: undefined },
    });
    const { promptId } = await submit();
    await detachAfter(promptId, deps, refused("before.example"));
    restarted = true;
    await run(promptId, deps);
    const texts = await textsOf(promptId);
    expect(texts.slice(0, 3)).toEqual([refused("before.example"), "the model", refused("after.example")]);
    expect(new Set(keys)).toEqual(new Set(["the-key"]));
    // Once, although a second runner has adopted the agent.
    const uses = await fixture()
      .database.orm.select()
      .from(auditPending)
      .where(eq(auditPending.action, "secret.use"));
    expect(uses.map(({ target, detail }) => ({ target, detail }))).toEqual([
      {
        target: "secret:ANTHROPIC_API_KEY",
        detail: { host: `127.0.0.1:${upstream.port}`, prompt: promptId },
      },
    ]);
    expect(await rowsOf(fixture(), promptId)).toMatchObject([
      { host: "before.example", count: 2 },
      { host: "after.example", count: 1 },
    ]);
  });
});
