import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ATTACKS } from "../../src/sandbox-check/table.ts";
import { unavailable } from "../harness/services.ts";
import { whyNotIsolated } from "../sandboxes/fixture.ts";
import { isRoot, runCheck, TABLE_TIMEOUT_MS } from "./fixture.ts";

setDefaultTimeout(TABLE_TIMEOUT_MS);

const LIMITS = [
  ...["limit-memory", "limit-processes", "limit-environments", "limit-disk", "limit-inodes", "limit-output"],
  "process-daemon",
];

const folders: string[] = [];
afterAll(() => Promise.all(folders.map((one) => rm(one, { recursive: true, force: true }))));

/** A folder with all programs of /usr/bin except bubblewrap. */
async function bin(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "pb-bin-"));
  folders.push(folder);
  await Bun.$`ln -s /usr/bin/* ${folder}/ && rm -f ${join(folder, "bwrap")}`.quiet();
  return folder;
}

const reason = await whyNotIsolated();
if (reason) unavailable({ name: "sandbox-check", reason });
else
  describe("prompt-backend sandbox-check", () => {
    test("every attack of the table is blocked, as the user who runs the tests", async () => {
      const { code, report, open, untried, failed } = await runCheck({});
      expect([open, failed]).toEqual([[], []]);
      // What an ordinary user's machine may lack.
      expect(isRoot ? untried : []).toEqual([]);
      expect([code, report.isolated, report.results.length]).toEqual([0, true, ATTACKS.length]);
    });

    test("without isolation, where it is allowed, what is harmless succeeds, and nothing else is tried on the host", async () => {
      const { code, open, untried } = await runCheck({
        // The last one does no harm here even if it were tried.
        only: ["network-loopback", "network-take-port", "file-data-dir", "process-own-environ"],
        env: { PATH: await bin(), ALLOW_UNISOLATED_AGENTS: "1" },
      });
      expect(code).toBe(1);
      expect(open.map((one) => one.split(":")[0])).toEqual([
        "file-data-dir",
        "network-loopback",
        "network-take-port",
      ]);
      expect(untried).toEqual([
        "process-own-environ: programs run on this machine itself, where it would do harm",
      ]);
    });

    if (!isRoot)
      unavailable({ name: "sandbox-check as other users", reason: "the tests do not run as root" });
    else {
      test("every attack is blocked, as an ordinary user, who gets a user namespace", async () => {
        const { report, open, untried, failed } = await runCheck({ user: true });
        expect([open, failed]).toEqual([[], []]);
        expect(report.detail).toContain("user namespace");
        // Memory is only watched there.
        const ids = untried.map((one) => one.split(":")[0]).filter((id) => id !== "limit-memory");
        expect(ids).toEqual(["file-new-in-etc"]);
      });

      test("without control groups, what a run uses is watched, and bombs end all the same", async () => {
        const { code, open, untried, failed } = await runCheck({
          only: LIMITS,
          before: "mount -t tmpfs none /sys/fs/cgroup",
        });
        expect([code, open, failed]).toEqual([0, [], []]);
        expect(untried.filter((one) => !one.startsWith("limit-"))).toEqual([]);
      });

      test("without user namespaces, an ordinary user's runs are refused", async () => {
        const { code, report } = await runCheck({ user: true, chroot: true, only: ["file-data-dir"] });
        expect([code, report.isolated]).toEqual([1, false]);
        expect(report.detail).toMatch(/cannot isolate agents/);
        expect(report.results.map(({ observed }) => observed)).toEqual(["runs are refused"]);
      });
    }

    test("without bubblewrap, runs are refused", async () => {
      const { code, report } = await runCheck({
        only: ["file-data-dir"],
        env: { PATH: await bin() },
      });
      expect([code, report.isolated]).toEqual([1, false]);
      expect(report.detail).toContain("bubblewrap is not installed");
    });
  });
