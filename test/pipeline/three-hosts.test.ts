import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { SQL } from "bun";
import { MARKER } from "../../src/sandboxes/process/processes.ts";
import { type Backend, createDeployment, startBackend } from "../harness/backend.ts";
import { startForgeHost } from "../harness/forge-host.ts";
import { startGiteaStandIn } from "../harness/gitea-stand-in.ts";
import { downloadGithubDescriptions } from "../harness/github-description.ts";
import { startGithubStandIn } from "../harness/github-stand-in.ts";
import { startGitlabStandIn } from "../harness/gitlab-stand-in.ts";
import { makeRepository } from "../harness/repository.ts";
import { describeWith } from "../harness/services.ts";
import { until } from "../harness/until.ts";

const LONG = 240_000;
const GITLAB_TOKEN = "glpat-of-gitlab-0123456789";
const GITEA_TOKEN = "token-of-gitea-0123456789";
const PULLS = /^POST \S+\/pulls$/;
/** It looks for what it should not find, into what the service keeps of its output. */
const AGENT = [
  "echo begun; until [ -e go ]; do sleep 0.05; done; rm go; env; cat .git/config",
  'cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null | tr "\\0" "\\n"; echo looked; cat > work.txt',
].join("; ");

/** A secret as it is, and as git and databases write it. */
const formsOf = (secret: string): string[] => [
  secret,
  ...["x-access-token", "oauth2"].map((name) => Buffer.from(`${name}:${secret}`).toString("base64")),
  Buffer.from(secret).toString("hex"),
];
const holds = (text: string, secret: string) => formsOf(secret).some((form) => text.includes(form));

async function startHosts(folder: string, source: string, onRequest: () => void) {
  await downloadGithubDescriptions();
  const [github, ofApp, gitea] = await Promise.all([
    startGithubStandIn(),
    startGithubStandIn(),
    startGiteaStandIn({ token: GITEA_TOKEN }),
  ]);
  const gitlab = startGitlabStandIn({ token: GITLAB_TOKEN });
  const { token } = github.addToken();
  const permissions = { contents: "write", pull_requests: "write", metadata: "read" };
  const app = ofApp.addApp({
    installations: [{ id: 7, repositories: ["acme/shop"], permissions, suspended: false }],
  });
  const minted = () => ofApp.tokens.map(({ value }) => value);
  const valid = () => ofApp.tokens.filter((one) => one.expiresAt > Date.now()).map(({ value }) => value);
  const privateKey = app.privateKey.reveal();
  const start = (name: string, more: Omit<Parameters<typeof startForgeHost>[0], "root" | "source">) =>
    startForgeHost({ root: join(folder, name), source, onRequest, ...more });
  const path = "owner/hello";
  const hosts = await Promise.all([
    start("github", { api: github.url, path, passwords: () => [token.reveal()] }),
    start("app", { api: ofApp.url, path: "acme/shop", passwords: valid }),
    start("gitlab", {
      ...{ api: gitlab.url, path: "group/sub.group/project", username: "oauth2" },
      passwords: () => [GITLAB_TOKEN],
    }),
    start("gitea", { api: gitea.url, path: "owner/project", passwords: () => [GITEA_TOKEN] }),
  ]);
  const branches = [
    github.addRepository(path).branches,
    ofApp.addRepository("acme/shop").branches,
    gitlab.branches,
    gitea.branches,
  ];
  const [first, second, third, fourth] = hosts.map(({ url }) => url);
  return {
    hosts,
    ofApp,
    /** What each host may be sent. */
    secrets: [() => [token.reveal()], minted, () => [GITLAB_TOKEN], () => [GITEA_TOKEN]],
    /** What nobody may be sent: a line of the key tells as much as all. */
    keyLine: privateKey.split("\n")[3] ?? "",
    env: {
      FORGES: JSON.stringify([
        { host: first, kind: "github", token: token.reveal() },
        { host: fourth, kind: "gitea", token: GITEA_TOKEN },
      ]),
      ...{ GITHUB_URL: `${second}`, GITHUB_APP_ID: app.appId, GITHUB_APP_PRIVATE_KEY: privateKey },
      ...{ GITLAB_URL: `${third}`, GITLAB_TOKEN, PRIVATE_GIT_HOSTS: "127.0.0.1" },
    },
    showBranches: () =>
      Promise.all(hosts.map((host, index) => host.showBranches(branches[index] ?? new Map()))),
    violations: () => [...gitlab.violations, ...gitea.violations],
    stop: () =>
      Promise.all([
        ...hosts.map((host) => host.stop()),
        github.stop(),
        ofApp.stop(),
        gitlab.stop(),
        gitea.stop(),
      ]),
  };
}

const readProc = (path: string): string => {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return ""; // It has ended.
  }
};

/** The processes of this machine, as they are at each look. */
function watchProcesses(secrets: () => readonly string[]) {
  const argvs = new Set<string>();
  const environs = new Set<string>();
  let agents = 0;
  return {
    argvs,
    /** Those that have a secret. */
    environs,
    agents: () => agents,
    look() {
      const all = secrets();
      let now = 0;
      for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
        const environ = readProc(`/proc/${pid}/environ`);
        argvs.add(readProc(`/proc/${pid}/cmdline`));
        if (environ.includes(`${MARKER}=`)) now += 1;
        if (all.some((secret) => environ.includes(secret))) environs.add(environ);
      }
      agents = Math.max(agents, now);
    },
  };
}

/** Each row of each table, as text. */
async function dump(url: string): Promise<string> {
  await using sql = new SQL({ url, max: 1 });
  const tables: { name: string }[] = await sql`select format('%I.%I', table_schema, table_name) as name
    from information_schema.tables where table_type = 'BASE TABLE'
    and table_schema not in ('pg_catalog', 'information_schema')`;
  const rows: { line: string }[][] = [];
  for (const { name } of tables) rows.push(await sql.unsafe(`select t::text as line from ${name} t`));
  return rows
    .flat()
    .map(({ line }) => line)
    .join("\n");
}

/** All that the API says of a session, as text. */
async function repliesAbout(
  backend: Backend,
  { sessionId, promptId }: { sessionId: string; promptId: string },
) {
  const parts = ["prompts", "effects", "diff", "commits", "files", "provenance", "pull-request", "egress"];
  const paths = [
    ...["", ...parts.map((part) => `/${part}`)].map((part) => `/sessions/${sessionId}${part}`),
    ...[`/prompts/${promptId}`, `/prompts/${promptId}/messages`, "/sessions", "/me", "/audit", "/metrics"],
  ];
  const texts = await Promise.all(
    paths.map(async (path) => `${path}\n${await (await fetch(`${backend.url}${path}`)).text()}`),
  );
  return texts.join("\n");
}

describeWith("postgres", "four git hosts at once, two of them GitHub's, one with an app", () => {
  test(
    "sessions are pushed and have pull requests; each credential reaches its own host and nobody else, and is kept nowhere",
    async () => {
      await using deployment = await createDeployment("postgres");
      const source = await makeRepository();
      const processes = watchProcesses(() => started.secrets.flatMap((of) => of()));
      const started = await startHosts(join(deployment.folder, "hosts"), source.path, processes.look);
      const { hosts, ofApp, secrets, keyLine } = started;
      const env = { ...started.env, AGENT: "command", AGENT_COMMAND: JSON.stringify(["sh", "-c", AGENT]) };
      await using backend = await startBackend(deployment, { env });

      const sessions = await Promise.all(hosts.map(({ repo }) => backend.submit(repo, "Work.")));
      for (const { promptId } of sessions)
        await until(async () => JSON.stringify(await backend.messages(promptId)).includes("begun"), {
          ...{ what: "the agent to begin", timeoutMs: 60_000 },
        });
      processes.look();
      // Before the push: it must have a token of its own.
      ofApp.expireAppTokens();
      for (const id of await readdir(join(deployment.dataDir, "sandboxes")))
        await writeFile(join(deployment.dataDir, "sandboxes", id, "disk/checkout/go"), "");
      const ended = await Promise.all(
        sessions.map(({ sessionId }) => backend.waitForStatus(sessionId, "NeedsReviewIpReturned", 90_000)),
      );
      for (const [index, { branch }] of ended.entries())
        expect(await hosts[index]?.git("show", `${branch}:work.txt`)).toBe("Work.");

      await started.showBranches();
      // Between the look for a pull request and its creation: once more, a new one is made.
      hosts[1]?.once(PULLS, (proceed) => {
        ofApp.expireAppTokens();
        return proceed();
      });
      const made = await Promise.all(
        sessions.map(({ sessionId }) => backend.request("POST", `/sessions/${sessionId}/pull-request`)),
      );
      for (const [index, { status, body }] of made.entries()) {
        expect([status, body.effect.status]).toEqual([200, "done"]);
        expect(body.pull_request).toMatchObject({ number: 1, state: "open", base: "main" });
        expect(body.pull_request.url).toStartWith(`${hosts[index]?.repo}/`);
      }
      const creations = hosts[1]?.received.filter((one) => PULLS.test(one.split("\n")[0] ?? ""));
      expect(creations).toHaveLength(2);
      expect(started.violations()).toEqual([]);

      // Traffic.
      const all = [...secrets.flatMap((of) => of()), keyLine];
      for (const [index, { received }] of hosts.entries()) {
        const own = secrets[index]?.() ?? [];
        const sent = received.join("\n");
        for (const secret of all) if (holds(sent, secret)) expect(own).toContain(secret);
        expect(own.filter((secret) => holds(sent, secret))).not.toEqual([]);
        // The app's own signature.
        expect(/^authorization: bearer eyJ/im.test(sent)).toBe(index === 1);
      }
      // Processes: git's, for its own host.
      expect(processes.agents()).toBeGreaterThanOrEqual(hosts.length);
      expect([...processes.argvs].join("\n")).toContain("git-remote-http");
      for (const secret of all) expect([...processes.argvs].some((argv) => holds(argv, secret))).toBe(false);
      const owners = new Set<number>();
      for (const environ of processes.environs) {
        const shown = all.filter((secret) => holds(environ, secret));
        expect(shown).toHaveLength(1);
        const owner = secrets.findIndex((of) => of().includes(shown[0] ?? ""));
        owners.add(owner);
        expect(environ).toContain(`=credential.${hosts[owner]?.url}.helper\0`);
        expect(environ).not.toContain(`${MARKER}=`);
      }
      expect([...owners].sort()).toEqual([0, 1, 2, 3]);

      // What is kept, and what is shown. `known` has to be there, or the search means nothing.
      const [{ sessionId = "" } = {}] = sessions;
      const replies = (await Promise.all(sessions.map((one) => repliesAbout(backend, one)))).join("\n");
      backend.process.kill("SIGTERM");
      await backend.process.exit;
      const places = {
        "the database": { text: await dump(deployment.env["DATABASE_URL"] ?? ""), known: sessionId },
        "the log": { text: backend.process.lines.join("\n"), known: sessionId },
        "the API's replies": { text: replies, known: "looked" },
      };
      for (const [place, { text, known }] of Object.entries(places)) {
        expect({ place, known: text.includes(known) }).toEqual({ place, known: true });
        for (const secret of all)
          expect({ place, shown: holds(text, secret) }).toEqual({ place, shown: false });
      }
      // Without -a: it would read the holes of file systems that are made ahead, of gigabytes.
      const filesWith = async (...texts: string[]) =>
        Bun.$`grep -rlF ${texts.flatMap((text) => ["-e", text])} ${deployment.dataDir}`.nothrow().text();
      const head = (await hosts[0]?.git("rev-parse", ended[0].branch))?.trim() ?? "";
      expect(await filesWith(head)).not.toBe("");
      expect(await filesWith(...all.flatMap(formsOf))).toBe("");
      await Promise.all([started.stop(), source.remove()]);
    },
    LONG,
  );
});
