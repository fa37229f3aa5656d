import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { YAML } from "bun";
import { parseArgs } from "../../src/cli/args.ts";
import { flatten } from "../../src/config/rows.ts";
import { SECRET_NAMES, VARIABLES } from "../../src/config/variables/all.ts";
import { forges } from "../../src/config/variables/forges.ts";
import { pullRequests, webhooks } from "../../src/config/variables/server.ts";
import { REFUSED } from "../../src/sandboxes/isolation/syscalls.ts";
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
  cap_add?: string[];
  privileged?: boolean;
  security_opt?: string[];
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

  test("has all services, on the documented ports", () => {
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
    const onHost = services
      .flatMap(([, { ports = [] }]) => ports)
      .map((one) => /(\d+)\}?:\d+$/.exec(one)?.[1]);
    // Not 3000: the web UI's own default.
    expect(onHost.sort()).toEqual(["3001", "8000", "8080", "9090"]);
    // Exposing one of them must be deliberate.
    for (const [, { ports = [] }] of services) for (const one of ports) expect(one).toStartWith("127.0.0.1:");
  });

  test.each(services)("%s: everything it references exists, and it has a health check", (name, service) => {
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

  test("our services run with minimal privileges and valid arguments and variables", () => {
    for (const [, { image, command = [], environment = {}, read_only, cap_drop }] of services.filter(
      ([, one]) => one.image === "prompt-backend",
    )) {
      expect(image).toBe("prompt-backend");
      expect({ read_only, cap_drop }).toEqual({ read_only: true, cap_drop: ["ALL"] });
      expect(() => parseArgs(command, TASK_NAMES)).not.toThrow();
      for (const name of Object.keys(environment)) expect(Object.keys(VARIABLES)).toContain(name);
    }
  });

  test("server and worker get every secret, and all that concerns git hosts, pull requests and webhooks, from .env", () => {
    const names = flatten({ ...forges, ...pullRequests, ...webhooks }).map(({ env }) => env);
    // The file's own storage; and what one hosting service sets.
    const isOther = (name: string) => /^(DATABASE_URL|REDIS_URL|RAILWAY_.*)$/.test(name);
    for (const name of [...names, ...SECRET_NAMES, "PUBLIC_URL"].filter((one) => !isOther(one)))
      for (const service of ["server", "worker"])
        expect([service, name, compose.services[service]?.environment?.[name]]).toEqual([
          service,
          name,
          `\${${name}:-}`,
        ]);
  });

  // AGENTS and many others could be set in .env, and nothing came of it.
  test("server and worker get each variable that may be set in .env, except those of the containers themselves", () => {
    const own =
      /^(DATABASE_URL|REDIS_URL|DATA_DIR|(ROCKET_)?PORT|HOST|ROCKET_ADDRESS|METRICS_PORT|RAILWAY_.*)$/;
    const names = Object.keys(VARIABLES).filter((name) => !own.test(name));
    for (const service of ["server", "worker"]) {
      const { environment = {} } = compose.services[service] ?? {};
      expect([service, names.filter((name) => !environment[name]?.startsWith(`\${${name}`))]).toEqual([
        service,
        [],
      ]);
    }
  });

  test("the worker can isolate agents: the options that bubblewrap needs, and no privilege more", () => {
    const { security_opt = [], cap_add, privileged } = compose.services["worker"] ?? {};
    expect(security_opt).toEqual([
      "no-new-privileges:true",
      "seccomp=./deploy/seccomp/prompt-backend.json",
      "apparmor=unconfined",
      "systempaths=unconfined",
    ]);
    expect([cap_add, privileged]).toEqual([undefined, undefined]);
    // The server runs no agents.
    expect(compose.services["server"]?.security_opt).toEqual(["no-new-privileges:true"]);
  });

  test("the seccomp profile allows what bubblewrap needs, and nothing that agents are refused besides", async () => {
    const profile = (await Bun.file(join(ROOT, "deploy/seccomp/prompt-backend.json")).json()) as {
      defaultAction: string;
      archMap: { architecture: string }[];
      syscalls: { names: string[]; action: string; args?: object[] }[];
    };
    expect(profile.defaultAction).toBe("SCMP_ACT_ERRNO");
    expect(profile.archMap.map(({ architecture }) => architecture)).toEqual([
      "SCMP_ARCH_X86_64",
      "SCMP_ARCH_AARCH64",
    ]);
    for (const one of profile.syscalls) expect(one.action).toBe("SCMP_ACT_ALLOW");
    const allowed = profile.syscalls.filter(({ args }) => !args).flatMap(({ names }) => names);
    const needed = ["clone", "clone3", "unshare", "mount", "umount2", "pivot_root"];
    for (const name of [...needed, "execve", "openat", "seccomp", "prctl"]) expect(allowed).toContain(name);
    for (const name of Object.keys(REFUSED).filter((one) => !needed.includes(one)))
      expect(allowed).not.toContain(name);
  });

  test("no secret has a default, except Grafana's for local use", () => {
    for (const [service, { environment = {} }] of services)
      for (const [name, value] of Object.entries(environment)) {
        if (!/PASSWORD|SECRET|TOKEN|_KEY$|DATABASE_URL|REDIS_URL/.test(name) || service === "grafana")
          continue;
        expect([name, /\$\{\w+:\?[^}]+\}|^\$\{\w+:-\}$/.test(value)]).toEqual([name, true]);
      }
  });
});

test("the systemd unit delegates control groups, keeps agents at a restart, and has no secret in its environment", async () => {
  const unit = await read("deploy/systemd/prompt-backend.service");
  for (const line of ["Delegate=yes", "DelegateSubgroup=service", "KillMode=process"])
    expect(unit.split("\n")).toContain(line);
  expect(unit).toMatch(/^LoadCredential=ANTHROPIC_API_KEY:/m);
  expect(unit).not.toMatch(/^Environment=.*(KEY|TOKEN|SECRET|PASSWORD)/m);
  const [, command = ""] = /^ExecStart=\S+ (.*)$/m.exec(unit) ?? [];
  expect(() => parseArgs(command.split(" "), TASK_NAMES)).not.toThrow();
});

const compose = findCompose();
if (!compose) unavailable({ name: "the compose file's schema", reason: "docker-compose is missing" });
else
  describe("docker-compose.yml, read by docker compose", () => {
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

    test("it is valid with all the secrets that its head lists, and rejected without any one of them", async () => {
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

    test("an unknown key is rejected", async () => {
      const text = (await read("docker-compose.yml")).replace("stop_grace_period:", "stop_grace_perod:");
      const all = Object.fromEntries([...secretsOf(text)].map((name) => [name, "x"]));
      const { code, err } = await config(text, all);
      expect(code).not.toBe(0);
      expect(err).toContain("stop_grace_perod");
    });
  });
