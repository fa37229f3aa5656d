import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, existsSync, mkdtempSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { removeFolder } from "../harness/private-servers.ts";
import { unavailable } from "../harness/services.ts";
import { TEST_TIMEOUT_MS } from "../harness/timeouts.ts";

const ROOT = resolve(import.meta.dir, "../..");
const STUB = join(import.meta.dir, "nixpkgs");
const read = (path: string) => Bun.file(join(ROOT, path)).text();

const LINUX = ["x86_64-linux", "aarch64-linux"];
const DARWIN = ["x86_64-darwin", "aarch64-darwin"];

/** What the expression below answers for one Linux system. */
interface Outputs {
  shell: string[];
  executable: { drvPath: string; src: string; buildPhase: string; nodeModules: string };
  image: {
    drvPath: string;
    contents: string[];
    files: Record<string, string>;
    fakeRootCommands: string;
    config: {
      User: string;
      WorkingDir: string;
      Env: string[];
      Entrypoint: string[];
      ExposedPorts: object;
      Volumes: object;
      StopSignal: string;
      Healthcheck: {
        Test: string[];
        Interval: number;
        Timeout: number;
        StartPeriod: number;
        Retries: number;
      };
    };
  };
  apps: Record<string, { type: string; program: string; derivation: string }>;
}

/** Evaluates the flake with the stand-in for nixpkgs. Every derivation is instantiated on the way, and none is built. */
const EXPRESSION = `
  { system }:
  let
    nixpkgs = (import ${STUB}/flake.nix).outputs { self = { }; };
    flake = (import ./flake.nix).outputs { self = { }; inherit nixpkgs; };
    executable = flake.packages.\${system}.default;
    image = flake.packages.\${system}.docker;
    files = builtins.filter (one: one.given ? path) image.given.contents;
  in
  {
    shell = map (one: one.name) flake.devShells.\${system}.default.given.packages;
    executable = {
      inherit (executable) drvPath;
      src = toString executable.given.src;
      inherit (executable.given) buildPhase;
      nodeModules = executable.given.passthru.nodeModules.given.script;
    };
    image = {
      inherit (image) drvPath;
      inherit (image.given) config fakeRootCommands;
      contents = map (one: one.name) image.given.contents;
      files = builtins.listToAttrs (map (one: { name = one.given.path; value = one.given.text; }) files);
    };
    apps = builtins.mapAttrs (
      _: one: one // { derivation = builtins.head (builtins.attrNames (builtins.getContext one.program)); }
    ) flake.apps.\${system};
  }`;

setDefaultTimeout(TEST_TIMEOUT_MS);

if (!Bun.which("nix-instantiate"))
  unavailable({ name: "flake.nix", reason: "nix-instantiate (package nix-bin) is missing" });
else
  describe("flake.nix", () => {
    let folder = "";
    let copy = "";
    beforeAll(async () => {
      folder = mkdtempSync(join(tmpdir(), "prompt-backend-flake-"));
      copy = join(folder, "copy");
      // A flake sees what git tracks, not node_modules.
      await Bun.$`mkdir ${copy} && git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t ${copy}`
        .cwd(ROOT)
        .quiet();
    });
    afterAll(() => removeFolder(folder));

    /** With a store of its own: no daemon, no root, no network, and nothing left behind. */
    const nix = (argv: string[], cwd = copy) => {
      const { exitCode, stdout, stderr } = Bun.spawnSync(argv, {
        cwd,
        env: {
          PATH: process.env["PATH"] ?? "",
          HOME: folder,
          NIX_REMOTE: join(folder, "store"),
          NIX_CONFIG: "experimental-features = nix-command flakes\nsubstitute = false\nbuild-users-group =",
        },
      });
      return { code: exitCode, out: stdout.toString(), err: stderr.toString() };
    };
    const asFlake = (command: string[], cwd = copy) =>
      nix(
        [
          ...["nix", "flake", ...command, "--offline", "--no-write-lock-file"],
          ...["--override-input", "nixpkgs", `path:${STUB}`, `path:${cwd}`],
        ],
        cwd,
      );
    const evaluated = (system: string): Outputs => {
      const { code, out, err } = nix([
        ...[
          "nix-instantiate",
          "--eval",
          "--read-write-mode",
          "--strict",
          "--json",
          "--argstr",
          "system",
          system,
        ],
        ...["--expr", EXPRESSION],
      ]);
      expect([code, code === 0 ? "" : err]).toEqual([0, ""]);
      return JSON.parse(out) as Outputs;
    };
    /** Where a store path is on disk. */
    const onDisk = (path: string) => join(folder, "store", path);

    test("Nix accepts it as a flake, with every output for every system", () => {
      const { code, err } = asFlake(["check", "--no-build"]);
      expect([code, code === 0 ? "" : err]).toEqual([0, ""]);
      const outputs = JSON.parse(asFlake(["show", "--json"]).out);
      const names = (kind: string) =>
        Object.fromEntries(
          Object.entries(outputs[kind]).map(([system, all]) => [system, Object.keys(Object(all)).sort()]),
        );
      const each = (systems: string[], all: string[]) =>
        Object.fromEntries(systems.map((system) => [system, all]));
      expect(names("devShells")).toEqual(each([...LINUX, ...DARWIN], ["default"]));
      expect(names("packages")).toEqual(each(LINUX, ["default", "docker"]));
      expect(names("apps")).toEqual({
        ...each(LINUX, ["generateTypescriptClient", "loadDockerImage"]),
        ...each(DARWIN, ["generateTypescriptClient"]),
      });
    });

    test("Nix rejects it when it names a package that is not there", async () => {
      const broken = join(folder, "broken");
      cpSync(copy, broken, { recursive: true });
      const text = await read("flake.nix");
      expect(text).toContain("pkgs.tini");
      await Bun.write(join(broken, "flake.nix"), text.replace("pkgs.tini", "pkgs.tinny"));
      const { code, err } = asFlake(["check", "--no-build"], broken);
      expect(code).not.toBe(0);
      expect(err).toContain("attribute 'tinny' missing");
    });

    describe.each(LINUX)("%s", (system) => {
      let outputs: Outputs;
      beforeAll(() => {
        outputs = evaluated(system);
      });

      test("the shell has Bun, git, git-lfs, bubblewrap, socat, PostgreSQL and Redis", () => {
        expect(outputs.shell.sort()).toEqual([
          "bubblewrap",
          "bun",
          "git",
          "git-lfs",
          "postgresql",
          "redis",
          "socat",
        ]);
      });

      test("the executable is built from what the Dockerfile copies, and everything is instantiated", async () => {
        const { executable, image } = outputs;
        const copied = [...(await read("Dockerfile")).matchAll(/^COPY (?!--from)(.+) \S+$/gm)]
          .flatMap(([, sources = ""]) => sources.split(" "))
          // Dependencies come from the lock file, one by one, and are patched then.
          .filter((one) => one !== "bun.lock" && one !== "patches");
        for (const one of copied)
          expect([one, existsSync(join(onDisk(executable.src), one))]).toEqual([one, true]);
        expect(readdirSync(onDisk(executable.src)).sort()).toEqual(
          [...new Set(copied.map((one) => String(one.split("/")[0])))].sort(),
        );
        expect(executable.buildPhase).toContain("bun .ci/build.ts --outfile prompt-backend");
        for (const one of [executable, image]) expect(existsSync(onDisk(one.drvPath))).toBe(true);
      });

      test("node_modules has each package where Bun puts it, in the version of bun.lock", async () => {
        const script = outputs.executable.nodeModules;
        const unpacked = [...script.matchAll(/tar -xzf (\S+) -C "\$out\/node_modules\/([^"]+)"/g)];
        expect(unpacked.length).toBeGreaterThan(100);
        const { dependencies, patchedDependencies } = (await Bun.file(join(ROOT, "package.json")).json()) as {
          dependencies: object;
          patchedDependencies: Record<string, string>;
        };
        const patched = new Set<string>();
        for (const [, tarball = "", path = ""] of unpacked) {
          const manifest = Bun.file(join(ROOT, "node_modules", path, "package.json"));
          // Optional packages are not installed everywhere.
          if (!(await manifest.exists())) continue;
          const { name, version } = (await manifest.json()) as { name: string; version: string };
          const expected = `${name.split("/").at(-1)}-${version}.tgz`;
          expect([path, tarball.endsWith(`-${expected}`)]).toEqual([path, true]);
          // One that is there by another name, too.
          const patch = patchedDependencies[`${name}@${version}`];
          if (patch === undefined) continue;
          patched.add(patch);
          const applied = new RegExp(`patch -p1 -d "\\$out/node_modules/${path}" < \\S+${basename(patch)}`);
          expect([path, applied.test(script)]).toEqual([path, true]);
        }
        expect([...patched].sort()).toEqual(Object.values(patchedDependencies).sort());
        const paths = unpacked.map(([, , path]) => path);
        for (const name of Object.keys(dependencies)) expect(paths).toContain(name);
      });

      test("the image is the Dockerfile's: entry point, user, environment, health check", async () => {
        const { config, contents, files, fakeRootCommands } = outputs.image;
        const dockerfile = (await read("Dockerfile")).replaceAll("\\\n", "");
        const line = (instruction: string) =>
          new RegExp(`^${instruction} (.*)$`, "m").exec(
            dockerfile.slice(dockerfile.lastIndexOf("\nFROM")),
          )?.[1];
        expect(config.Entrypoint).toEqual(JSON.parse(String(line("ENTRYPOINT"))));
        expect(config.User).toBe(String(line("USER")));
        expect(config.WorkingDir).toBe(String(line("WORKDIR")));
        expect(config.StopSignal).toBe(String(line("STOPSIGNAL")));
        expect(config.Volumes).toEqual({ [String(line("VOLUME"))]: {} });
        expect(config.ExposedPorts).toEqual({ [String(line("EXPOSE"))]: {} });
        for (const one of String(line("ENV")).split(" ")) expect(config.Env).toContain(one);
        const [, command = ""] = /HEALTHCHECK .* CMD (\[.*\])/.exec(dockerfile) ?? [];
        expect(config.Healthcheck.Test).toEqual(["CMD", ...JSON.parse(command)]);
        const { Interval, Timeout, StartPeriod, Retries } = config.Healthcheck;
        const [interval, timeout, start] = [Interval, Timeout, StartPeriod].map((one) => `${one / 1e9}s`);
        expect(dockerfile).toContain(
          `--interval=${interval} --timeout=${timeout} --start-period=${start} --retries=${Retries}`,
        );
        const [, uid = ""] = /--uid (\d+)/.exec(dockerfile) ?? [];
        expect(files["etc/passwd"]).toMatch(new RegExp(`^${config.User}:x:${uid}:${uid}:`, "m"));
        expect(fakeRootCommands).toContain(`-o ${uid} -g ${uid} data`);
        for (const program of [
          "bash",
          "bubblewrap",
          "findutils",
          "git",
          "git-lfs",
          "gnutar",
          "socat",
          "tini",
        ])
          expect(contents).toContain(program);
        expect(contents.filter((one) => one.startsWith("prompt-backend"))).toHaveLength(1);
      });

      test("the apps point at programs, whose scripts are valid and name existing files", () => {
        for (const [name, { type, program, derivation }] of Object.entries(outputs.apps)) {
          expect([name, type]).toEqual([name, "app"]);
          expect(program).toMatch(/^\/nix\/store\/[^/]+\/bin\/[a-z-]+$/);
          const { out } = nix(["nix", "show-derivation", derivation]);
          const [{ env }] = Object.values(JSON.parse(out)) as [{ env: { text: string } }];
          const { exitCode, stderr } = Bun.spawnSync(["bash", "-n"], { stdin: Buffer.from(env.text) });
          expect([name, exitCode, stderr.toString()]).toEqual([name, 0, ""]);
          for (const [, file = ""] of env.text.matchAll(/ (\.ci\/\S+)/g))
            expect([file, existsSync(join(ROOT, file))]).toEqual([file, true]);
          if (name === "loadDockerImage")
            expect(env.text).toMatch(/docker load --input \S+-prompt-backend\.tar\.gz/);
        }
      });
    });
  });
