import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { YAML } from "bun";
import { parseArgs } from "../../src/cli/args.ts";
import { VARIABLES } from "../../src/config-variables.ts";
import { TASK_NAMES } from "../../src/tasks/names.ts";
import { findCompose } from "../harness/machine.ts";
import { unavailable } from "../harness/services.ts";

const ROOT = resolve(import.meta.dir, "../..");
const read = (path: string) => Bun.file(join(ROOT, path)).text();

interface ComposeService {
  image?: string;
  build?: string;
  read_only?: boolean;
  cap_drop?: string[];
  command?: string[];
  environment?: Record<string, string>;
  ports?: string[];
  volumes?: string[];
  networks?: string[];
  healthcheck?: { test?: string[]; disable?: boolean };
  depends_on?: Record<string, { condition: string }>;
}
interface Compose {
  services: Record<string, ComposeService>;
  volumes: Record<string, unknown>;
  networks: Record<string, unknown>;
}

describe("docker-compose.yml", async () => {
  const compose = YAML.parse(await read("docker-compose.yml")) as Compose;
  const services = Object.entries(compose.services);

  test("has everything, on the ports that people know", () => {
    expect(Object.keys(compose.services).sort()).toEqual(
      [
        "grafana",
        "keycloak",
        "keycloak-db",
        "migrate",
        "postgres",
        "prometheus",
        "redis",
        "server",
        "worker",
      ].sort(),
    );
    const ports = services.flatMap(([, { ports = [] }]) => ports).map((one) => one.split(":").at(-1));
    expect(ports.sort()).toEqual(["3000", "8000", "8080", "9090"]);
    // Whoever opens one of them does it on purpose.
    for (const [, { ports = [] }] of services) for (const one of ports) expect(one).toStartWith("127.0.0.1:");
  });

  test.each(services)("%s: what it names is there, and it is watched", (name, service) => {
    expect(Boolean(service.image ?? service.build)).toBe(true);
    expect(service.image ?? "").not.toMatch(/:latest$/);
    for (const volume of service.volumes ?? []) {
      const [source = ""] = volume.split(":");
      if (source.startsWith("./")) expect(existsSync(join(ROOT, source))).toBe(true);
      else expect(Object.keys(compose.volumes)).toContain(source);
    }
    for (const network of service.networks ?? []) expect(Object.keys(compose.networks)).toContain(network);
    for (const other of Object.keys(service.depends_on ?? {}))
      expect(Object.keys(compose.services)).toContain(other);
    if (name !== "migrate" && service.image && service.image !== "prompt-backend")
      expect(service.healthcheck?.test?.length).toBeGreaterThan(0);
  });

  test("its own services may do no more than they must, and are started as the executable knows", () => {
    for (const [, { image, command = [], environment = {}, read_only, cap_drop }] of services.filter(
      ([, one]) => one.image === "prompt-backend",
    )) {
      expect(image).toBe("prompt-backend");
      expect({ read_only, cap_drop }).toEqual({ read_only: true, cap_drop: ["ALL"] });
      expect(() => parseArgs(command, TASK_NAMES)).not.toThrow();
      for (const name of Object.keys(environment)) expect(Object.keys(VARIABLES)).toContain(name);
    }
  });

  test("no secret has a default, but Grafana's for local use", () => {
    for (const [service, { environment = {} }] of services)
      for (const [name, value] of Object.entries(environment)) {
        if (!/PASSWORD|SECRET|TOKEN|_KEY$|DATABASE_URL|REDIS_URL/.test(name) || service === "grafana")
          continue;
        expect([name, /\$\{\w+:\?[^}]+\}|^\$\{\w+:-\}$/.test(value)]).toEqual([name, true]);
      }
  });
});

const compose = findCompose();
if (!compose) unavailable({ name: "the compose file's schema", reason: "docker-compose is missing" });
else
  describe("docker-compose.yml, as compose reads it", () => {
    const config = async (text: string, env: Record<string, string>) => {
      const { stdout, stderr, exitCode } = Bun.spawnSync([...compose, "--file", "-", "config"], {
        cwd: ROOT,
        env: { PATH: process.env["PATH"] ?? "", HOME: tmpdir(), ...env },
        stdin: Buffer.from(text),
      });
      return { code: exitCode, out: stdout.toString(), err: stderr.toString() };
    };
    const secretsOf = (text: string) =>
      new Set([...text.matchAll(/\$\{(\w+):\?/g)].map(([, name = ""]) => name));

    test("it is sound, with every secret that its head asks for and not without one of them", async () => {
      const text = await read("docker-compose.yml");
      const secrets = [...secretsOf(text)];
      const head = text.slice(0, text.search(/^[^#]/m));
      for (const name of secrets) expect(head).toContain(name);
      const all = Object.fromEntries(secrets.map((name) => [name, `${name.toLowerCase()}-value`]));
      const { code, out, err } = await config(text, all);
      expect([code, code === 0 ? "" : err]).toEqual([0, ""]);
      for (const name of secrets) expect(out).toContain(`${name.toLowerCase()}-value`);
      for (const name of secrets) {
        const { [name]: _, ...others } = all;
        const refused = await config(text, others);
        expect(refused.code).not.toBe(0);
        expect(refused.err).toContain("openssl rand -hex 24");
      }
    }, 60_000);

    test("a key that compose does not know is found", async () => {
      const text = (await read("docker-compose.yml")).replace("stop_grace_period:", "stop_grace_perod:");
      const all = Object.fromEntries([...secretsOf(text)].map((name) => [name, "x"]));
      const { code, err } = await config(text, all);
      expect(code).not.toBe(0);
      expect(err).toContain("stop_grace_perod");
    });
  });

test("the Keycloak realm: tokens name the audience and the roles that the service reads; no secret is in the file", async () => {
  const text = await read("deploy/keycloak/realm.json");
  const realm = JSON.parse(text);
  const [scope] = realm.clientScopes;
  const mapper = (name: string) => scope.protocolMappers.find((one: { name: string }) => one.name === name);
  expect(mapper("audience").config["included.custom.audience"]).toBe(String(VARIABLES.AUTH_AUDIENCE[0]));
  expect(mapper("realm roles").config["claim.name"]).toBe("realm_access.roles");
  expect(realm.roles.realm.map((one: { name: string }) => one.name)).toEqual(["user", "admin"]);
  const [ui, service] = realm.clients;
  expect(ui).toMatchObject({
    publicClient: true,
    implicitFlowEnabled: false,
    directAccessGrantsEnabled: false,
  });
  expect(ui.attributes["pkce.code.challenge.method"]).toBe("S256");
  for (const client of [ui, service]) expect(client.defaultClientScopes).toContain("prompt-backend");
  const compose = await read("docker-compose.yml");
  for (const [, name = ""] of text.matchAll(/\$\{(\w+)\}/g)) expect(compose).toContain(`${name}:?`);
  expect(service.secret).toMatch(/^\$\{/);
  expect(realm.users[0].credentials[0].value).toMatch(/^\$\{/);
});

test("the image: not root, says when it is well, passes signals on", async () => {
  const text = await read("Dockerfile");
  expect(text).toMatch(/^USER (?!root|0)/m);
  expect(text).toMatch(/^HEALTHCHECK /m);
  expect(text).toMatch(/^STOPSIGNAL SIGTERM$/m);
  expect(text).toMatch(/^ENTRYPOINT \["tini", "--", "prompt-backend"\]$/m);
  expect(text).not.toMatch(/^(ARG|ENV) .*(PASSWORD|TOKEN|SECRET|KEY)/m);
  for (const [, source = ""] of text.matchAll(/^COPY (?!--from)(\S+)(?: \S+)+$/gm))
    expect([source, existsSync(join(ROOT, source))]).toEqual([source, true]);
});

describe("GitHub's workflows", () => {
  const folder = join(ROOT, ".github/workflows");
  test.each(readdirSync(folder))(
    "%s: may do no more than it must, and names what it uses by version",
    async (name) => {
      const workflow = YAML.parse(await read(`.github/workflows/${name}`)) as {
        permissions: Record<string, string>;
        jobs: Record<string, { "timeout-minutes": number; steps: { uses?: string; run?: string }[] }>;
      };
      expect(workflow.permissions).toEqual({ contents: "read" });
      for (const job of Object.values(workflow.jobs)) {
        expect(job["timeout-minutes"]).toBeGreaterThan(0);
        for (const step of job.steps) {
          expect(Boolean(step.uses) !== Boolean(step.run)).toBe(true);
          if (step.uses) expect(step.uses).toMatch(/^[\w./-]+@v\d+(\.\d+)*$/);
          // What others may have written never becomes part of a script's text.
          expect(step.run ?? "").not.toContain("${{");
          for (const [, file = ""] of (step.run ?? "").matchAll(/(?:^|\s)(\.ci\/\S+)/g))
            expect([file, existsSync(join(ROOT, file))]).toEqual([file, true]);
        }
      }
    },
  );
});

if (!Bun.which("promtool"))
  unavailable({ name: "Prometheus' rules", reason: "promtool (package prometheus) is missing" });
else
  describe("Prometheus", () => {
    const promtool = (...args: string[]) => {
      const { exitCode, stdout, stderr } = Bun.spawnSync(["promtool", ...args], {
        cwd: join(ROOT, "deploy/prometheus"),
      });
      expect([exitCode, exitCode === 0 ? "" : `${stdout}${stderr}`]).toEqual([0, ""]);
    };
    test("its configuration and rules are sound", () => {
      promtool("check", "config", "prometheus.yml");
      promtool("check", "rules", "rules.yml");
    });
    test("every alert fires when it should, and stays quiet when not", async () => {
      promtool("test", "rules", "rules.test.yml");
      const names = [...(await read("deploy/prometheus/rules.yml")).matchAll(/alert: (\w+)/g)].map(
        ([, name]) => name,
      );
      const tested = await read("deploy/prometheus/rules.test.yml");
      for (const name of names) {
        expect(tested).toContain(`${name} fires`);
        expect(tested).toContain(`${name} stays quiet`);
      }
    });
    test("every alert has its place in the guide for operators", async () => {
      const guide = await read("docs/OPERATIONS.md");
      const anchors = [...guide.matchAll(/^#+ (\w+)$/gm)].map(([, title = ""]) => title.toLowerCase());
      for (const [, anchor = ""] of (await read("deploy/prometheus/rules.yml")).matchAll(
        /OPERATIONS\.md#(\w+)/g,
      ))
        expect(anchors).toContain(anchor);
    });
  });
