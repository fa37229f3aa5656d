import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmod, cp, mkdtemp, readdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { YAML } from "bun";
import { removeFolder } from "../harness/remove-folder.ts";

const ROOT = resolve(import.meta.dir, "../..");

interface Job {
  environment?: string;
  permissions?: Record<string, string>;
  steps: { name?: string; uses?: string; run?: string; with?: Record<string, unknown> }[];
}

/** The workflow publishes without a token: npm trusts the identity of its job. */
describe("sdk.yml", () => {
  let folder: string;
  let jobs: Record<string, Job>;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "pb-publishing-"));
    const text = await Bun.file(join(ROOT, ".github/workflows/sdk.yml")).text();
    ({ jobs } = YAML.parse(text) as { jobs: Record<string, Job> });
    expect(text).not.toContain("secrets.");
  });
  afterAll(() => removeFolder(folder));

  /** Runs the script of a step. */
  const step = async (name: string, cwd: string, env: Record<string, string>) => {
    const script = Object.values(jobs)
      .flatMap(({ steps }) => steps)
      .find((one) => one.name === name)?.run;
    const child = Bun.spawn(["bash", "-e", "-o", "pipefail", "-c", String(script)], {
      cwd,
      env: { PATH: process.env["PATH"] ?? "", HOME: folder, ...env },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    expect([code, code === 0 ? "" : err]).toEqual([0, ""]);
    return out;
  };
  /** Packs a copy of sdk/ as the workflow does. @returns the folder with the tarball, and the tarball's package.json. */
  const pack = async (event: "push" | "pull_request") => {
    const cwd = await mkdtemp(join(folder, `${event}-`));
    await cp(join(ROOT, "sdk/package.json"), join(cwd, "package.json"));
    await step("Pack", cwd, {
      GITHUB_EVENT_NAME: event,
      GITHUB_REPOSITORY: "ada/fork",
      GITHUB_RUN_NUMBER: "42",
      GITHUB_SERVER_URL: "https://git.example",
      NUMBER: event === "push" ? "" : "7",
    });
    const [tarball = ""] = (await readdir(cwd)).filter((name) => name.endsWith(".tgz"));
    return { cwd, manifest: await Bun.$`tar -xzOf ${join(cwd, tarball)} package/package.json`.json() };
  };
  /** Publishes a folder's tarball with an npm that only writes down how it is called. */
  const publish = async (cwd: string, tag: string, published: boolean) => {
    const programs = await mkdtemp(join(folder, "programs-"));
    await Bun.write(
      join(programs, "npm"),
      `#!/bin/sh\necho "$@" >> calls\n[ "$1" != view ] || ${published}\n`,
    );
    await chmod(join(programs, "npm"), 0o755);
    await Bun.write(join(cwd, "calls"), "");
    await step("Publish", cwd, { PATH: `${programs}:${process.env["PATH"]}`, TAG: tag });
    return (await Bun.file(join(cwd, "calls")).text()).trim().split("\n");
  };

  test("only a job that runs no code of the repository or of its dependencies can publish", () => {
    const able = Object.values(jobs).filter(({ permissions }) => permissions?.["id-token"]);
    expect(able).toHaveLength(1);
    const [{ environment, permissions, steps }] = able as [Job];
    expect(permissions).toEqual({ "id-token": "write" });
    expect(environment).toBe("npm");
    expect(
      steps.flatMap(({ uses = [] }) => uses).filter((uses) => uses.startsWith("actions/checkout")),
    ).toEqual([]);
    const [, npm = ""] =
      /npm install --global npm@(\S+)/.exec(steps.map(({ run = "" }) => run).join("\n")) ?? [];
    // Older ones know no trusted publishing, and ask for a token.
    expect(Bun.semver.satisfies(npm, ">=11.5.1")).toBe(true);
    const node = steps.find(({ uses }) => uses?.startsWith("actions/setup-node"))?.with?.["node-version"];
    expect(Bun.semver.satisfies(`${node}.0.0`, ">=22.14.0")).toBe(true);
  });

  test("main: the version of package.json, once, from the repository that runs the workflow", async () => {
    const { version, name } = await Bun.file(join(ROOT, "sdk/package.json")).json();
    const { cwd, manifest } = await pack("push");
    expect(manifest).toMatchObject({
      version,
      repository: { type: "git", url: "git+https://git.example/ada/fork.git", directory: "sdk" },
    });
    const view = `view ${name}@${version} version`;
    const call = `publish ./${name}-${version}.tgz --access public --tag latest`;
    expect(await publish(cwd, "latest", false)).toEqual([view, call]);
    expect(await publish(cwd, "latest", true)).toEqual([view]);
  });

  test("a pull request: a version of its own, which nobody gets who does not ask for betas", async () => {
    const { version } = await Bun.file(join(ROOT, "sdk/package.json")).json();
    const { cwd, manifest } = await pack("pull_request");
    expect(manifest.version).toBe(`${version}-pr7.42`);
    expect((await publish(cwd, "beta", false)).at(-1)).toEndWith(`-pr7.42.tgz --access public --tag beta`);
  });
});
