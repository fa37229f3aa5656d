import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, statSync } from "node:fs";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findProgram } from "../../../src/agents/find-program.ts";
import { makeRepository } from "../../harness/repository.ts";
import { unavailable } from "../../harness/services.ts";
import { TEST_TIMEOUT_MS } from "../../harness/timeouts.ts";
import { LIMIT_MS, linesOf, never, processArguments, useSandboxes, whyNotIsolated } from "../fixture.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

const reason = await whyNotIsolated();
if (reason) unavailable({ name: "isolation", reason });
else
  describe("an agent under bubblewrap", () => {
    const its = useSandboxes();

    test("sees the system and its own folders, and nothing else of the machine", async () => {
      const sandbox = await its.fixture.open(its.fixture.request(its.fixture.repository.path));
      const { dataDir } = its.fixture;
      const script = `ls -d ${dataDir} ${its.fixture.repository.path} ${import.meta.dir} 2>/dev/null; ls -A /root /run/ /home /var/tmp
        cat /etc/shadow; touch /usr/x /etc/x /x 2>/dev/null && echo WROTE; echo "$$ $(pwd) $(id -un)"; grep CapEff /proc/self/status`;
      const { out } = await its.fixture.run(sandbox, script);
      expect(out).not.toContain(dataDir);
      expect(out).not.toContain(its.fixture.repository.path);
      expect(out).not.toContain(import.meta.dir);
      expect(out).not.toContain("WROTE");
      expect(out).not.toMatch(/^root:/m);
      expect(out).toMatch(/^2 \/workspace agent$/m);
      expect(out).toMatch(/CapEff:\s*0+$/m);
    });

    test("cannot change kernel settings, even if root starts it", async () => {
      const sandbox = await its.fixture.open(its.fixture.request(its.fixture.repository.path));
      // Writes the current value: harmless if the isolation is broken.
      const script =
        "f=/proc/sys/vm/swappiness; { cat $f > $f; } 2>/dev/null && echo WROTE; cat /proc/kcore | head -c 1 | wc -c";
      expect((await its.fixture.run(sandbox, script)).out.trim()).toBe("0");
    });

    test("cannot see a DATA_DIR that lies in a folder which its program needs", async () => {
      const sandbox = await its.fixture.open(its.fixture.request(its.fixture.repository.path));
      const readable = [join(its.fixture.dataDir, "..")];
      const argv = ["sh", "-c", `ls -A ${its.fixture.dataDir}; echo end`] as const;
      const child = sandbox.start({ argv, env: {}, stdin: "", readable }, LIMIT_MS);
      expect(await linesOf(child)).toEqual(["end"]);
    });

    // The whole folder of AGENT_COMMAND's program was mounted.
    test("cannot read what is beside its program", async () => {
      const sandbox = await its.fixture.open(its.fixture.request(its.fixture.repository.path));
      const folder = await mkdtemp(join(tmpdir(), "pb-beside-"));
      try {
        await chmod(folder, 0o755);
        const file = join(folder, "agent");
        await writeFile(file, `#!/bin/sh\nls -A ${folder}; cat ${folder}/key; echo end\n`);
        await chmod(file, 0o755);
        await writeFile(join(folder, "key"), "s3cret", { mode: 0o600 });
        const program = findProgram(file, "");
        if (!program) throw new Error("the program was not found");
        const command = { argv: [program.path] as const, env: {}, stdin: "", readable: program.readable };
        expect(await linesOf(sandbox.start(command, LIMIT_MS))).toEqual(["agent", "end"]);
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    });

    // A mask over all of /etc missed what was made or replaced after it.
    test("sees what programs need of /etc, and its own users, hosts and resolver", async () => {
      const sandbox = await its.fixture.open(its.fixture.request(its.fixture.repository.path));
      const script = `ls /etc; echo --; cat /etc/passwd; echo --; cat /etc/hosts; echo --; cat /etc/resolv.conf`;
      const { out } = await its.fixture.run(sandbox, script);
      const [names = "", passwd = "", hosts = "", resolver = ""] = out.split("--\n");
      for (const name of ["ld.so.cache", "ssl", "nsswitch.conf", "os-release"])
        expect(names.split("\n")).toContain(name);
      for (const name of [
        "shadow",
        "machine-id",
        "ssh",
        "sudoers",
        "crontab",
        "fstab",
        "hostid",
        "environment",
      ])
        expect(names.split("\n")).not.toContain(name);
      const users = passwd
        .trim()
        .split("\n")
        .map((line) => line.split(":")[0]);
      expect(users).toEqual(["agent", "root", "nobody"]);
      expect(hosts).toStartWith("127.0.0.1 localhost");
      expect(resolver).not.toContain("nameserver");
    });

    test("writes to no folder but its own, and a bounded amount to the scratch ones", async () => {
      const sandbox = await its.fixture.open(its.fixture.request(its.fixture.repository.path));
      const script = `for f in / /dev /etc /usr /home /opt; do touch $f/x 2>/dev/null && echo WROTE $f; done
        for f in /dev/shm /var/tmp /run; do touch $f/x && df -Pm $f | awk 'NR==2 { print $2 }'; done`;
      const { out } = await its.fixture.run(sandbox, script);
      expect(out.split("\n")).toEqual(["256", "256", "16"]);
    });

    if (process.getuid?.() === 0)
      test("as root, it is a user of its own: a private file deeper than any search, made during the run, is closed", async () => {
        const [one, two] = [
          await its.fixture.open(its.fixture.request(its.fixture.repository.path)),
          await its.fixture.open(its.fixture.request(its.fixture.repository.path)),
        ];
        const uids = [one, two].map(({ hostPaths }) => statSync(hostPaths.checkout).uid);
        expect(new Set(uids).size).toBe(2);
        for (const uid of uids) expect(uid).toBeGreaterThan(65_535);
        const top = await mkdtemp("/opt/pb-deep-");
        try {
          await chmod(top, 0o755);
          const folder = join(top, "a/b/c/d/e");
          await Bun.$`mkdir -p ${folder}`.quiet();
          const child = one.start(
            {
              argv: [
                "sh",
                "-c",
                `while ! [ -e ${folder}/public ]; do sleep 0.01; done; cat ${folder}/public ${folder}/key; id -u`,
              ],
              env: {},
              stdin: "",
              readable: [],
            },
            LIMIT_MS,
          );
          await writeFile(join(folder, "key"), "s3cret", { mode: 0o600 });
          await writeFile(join(folder, "public"), "public\n");
          const lines = await linesOf(child);
          expect(lines.join(" ")).not.toContain("s3cret");
          expect(lines.at(-1)).toBe(String(uids[0]));
          expect((await child.exit).stderr).toContain("key: Permission denied");
        } finally {
          await rm(top, { recursive: true, force: true });
        }
      });

    test("gets secrets in its environment, not as arguments", async () => {
      const sandbox = await its.fixture.open(its.fixture.request(its.fixture.repository.path));
      const child = sandbox.start(
        {
          argv: ["sh", "-c", 'echo "$SECRET"; exec sleep 60'],
          env: { SECRET: "s3cret-value" },
          stdin: "",
          readable: [],
        },
        LIMIT_MS,
      );
      for await (const { line } of child.lines(0)) {
        expect(line).toBe("s3cret-value");
        break;
      }
      const argvs = processArguments();
      expect(argvs.join("\n")).toContain("sleep");
      expect(argvs.join("\n")).not.toContain("s3cret-value");
      await child.stop(0);
    });

    test("a daemon that cleared its environment ends with the run", async () => {
      const sandbox = await its.fixture.open(its.fixture.request(its.fixture.repository.path));
      const name = `daemon-${crypto.randomUUID()}`;
      const script = `env -i /usr/bin/setsid /bin/sh -c 'trap "" TERM HUP; echo up > up; while :; do sleep 0.05; done' ${name} >/dev/null 2>&1 &
        while ! [ -s up ]; do sleep 0.01; done`;
      await its.fixture.run(sandbox, script);
      expect(processArguments().join("\n")).not.toContain(`sleep 0.05; done\0${name}`);
      expect(processArguments().filter((args) => args.includes(name))).toEqual([]);
    });

    test("nothing that it writes into .git runs outside the sandbox", async () => {
      const marker = join(its.fixture.dataDir, "escaped");
      const sandbox = await its.fixture.open(
        its.fixture.request(its.fixture.repository.path, { branch: "prompt/s-hostile" }),
      );
      const evil = `touch ${marker}`;
      const script = `mkdir -p h; for n in pre-push pre-commit post-commit reference-transaction post-index-change; do printf '#!/bin/sh\n${evil}\n' > h/$n; chmod +x h/$n; cp h/$n .git/hooks/ 2>/dev/null || { mkdir -p .git/hooks; cp h/$n .git/hooks/; }; done
        git config core.fsmonitor "${evil}; false"; git config core.hooksPath /workspace/h; git config credential.helper "!${evil}"
        git config uploadpack.packObjectsHook "${evil}"; git config core.sshCommand "${evil}"; git config core.alternateRefsCommand "${evil}"
        git config filter.f.clean "${evil}; cat"; echo "* filter=f" > .gitattributes; git config url."ext::sh -c '${evil}' ".insteadOf /
        git config core.pager "${evil}"; git config gpg.program "${evil}"; git config commit.gpgsign true; echo x > x`;
      await its.fixture.run(sandbox, script);
      const work = await sandbox.deliverWork("hostile", never);
      expect(work.push).toEqual({ pushed: true, to: its.fixture.repository.path });
      expect(existsSync(marker)).toBe(false);
    });

    test("cannot deliver another repository through a .git that points to it", async () => {
      const other = await makeRepository({ files: { secret: "other" } });
      try {
        const sandbox = await its.fixture.open(
          its.fixture.request(its.fixture.repository.path, { branch: "prompt/s-elsewhere" }),
        );
        await its.fixture.run(sandbox, `rm -rf .git && ln -s ${other.path}/.git .git`);
        const collected = sandbox.deliverWork("x", never);
        await expect(collected).rejects.toThrow("no usable git repository");
      } finally {
        await other.remove();
      }
    });
  });
