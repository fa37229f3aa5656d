import { afterEach, expect, test } from "bun:test";
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { closeDataDir } from "../../src/db/private-data-dir.ts";
import { createLogger } from "../../src/observability/logger.ts";

const root = mkdtempSync(join(tmpdir(), "pb-private-"));
const dataDir = join(root, "data");
const logger = createLogger({ level: "silent" });
const modeOf = (...path: string[]) => statSync(join(dataDir, ...path)).mode & 0o777;
afterEach(() => rmSync(dataDir, { recursive: true, force: true }));

// A DATA_DIR that had been made with 0755 stayed so, and its files were 0666: anybody could read and change them.
test("a DATA_DIR that others can enter is closed, with what is in it", () => {
  mkdirSync(join(dataDir, "postgres", "base"), { recursive: true });
  for (const file of ["local-issuer.key", "postgres/base/1"]) {
    writeFileSync(join(dataDir, file), "x");
    chmodSync(join(dataDir, file), 0o666);
  }
  chmodSync(dataDir, 0o777);
  closeDataDir({ dataDir, logger });
  expect(modeOf()).toBe(0o700);
  expect(modeOf("local-issuer.key")).toBe(0o600);
  expect(modeOf("postgres", "base")).toBe(0o700);
  expect(modeOf("postgres", "base", "1")).toBe(0o600);
});

test("what programs in sandboxes must read keeps its modes", () => {
  mkdirSync(join(dataDir, "repos", "one.git"), { recursive: true });
  chmodSync(join(dataDir, "repos", "one.git"), 0o755);
  closeDataDir({ dataDir, logger });
  expect(modeOf("repos", "one.git")).toBe(0o755);
});

// An earlier version's conversations could be read by everybody where DATA_DIR is root's and open: they counted as shared.
test("conversations are closed", () => {
  mkdirSync(join(dataDir, "conversations", "one"), { recursive: true });
  chmodSync(join(dataDir, "conversations"), 0o755);
  closeDataDir({ dataDir, logger });
  expect(modeOf("conversations")).toBe(0o700);
});

test("a DATA_DIR is made for this user alone", () => {
  closeDataDir({ dataDir, logger });
  expect(modeOf()).toBe(0o700);
});

test.if(process.getuid?.() === 0)("a DATA_DIR of another user is refused", () => {
  mkdirSync(dataDir);
  chownSync(dataDir, 12_345, 12_345);
  expect(() => closeDataDir({ dataDir, logger })).toThrow("belongs to another user (12345)");
});

// A volume of Kubernetes with an fsGroup, or NFS: the service did not start, with PostgreSQL elsewhere either.
test.if(process.getuid?.() === 0)(
  "a DATA_DIR of root is accepted, with a warning where others may write",
  () => {
    const warnings: string[] = [];
    const noting = { ...logger, warn: (text: string) => void warnings.push(text) };
    for (const [mode, count] of [
      [0o755, 0],
      [0o2775, 1],
    ] as const) {
      mkdirSync(dataDir, { recursive: true });
      chmodSync(dataDir, mode);
      closeDataDir({ dataDir, logger: noting, own: 12_345 });
      expect(modeOf()).toBe(mode & 0o777);
      expect(warnings).toHaveLength(count);
    }
  },
);
