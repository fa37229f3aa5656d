import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { alone, amongOthers, ifAlone } from "../../../src/sandboxes/git/store-lock.ts";
import { startProcess } from "../../harness/process.ts";
import { removeFolder } from "../../harness/remove-folder.ts";
import { TEST_TIMEOUT_MS } from "../../harness/timeouts.ts";
import { never } from "../fixture.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);
const MODULE = resolve(import.meta.dir, "../../../src/sandboxes/git/store-lock.ts");

let folder: string;
let store: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-store-lock-"));
  store = join(folder, "store.git");
});
afterAll(() => removeFolder(folder));

/** Another process at work in the store, until it is killed. */
async function startOther(how: "amongOthers" | "ifAlone") {
  const work = 'async () => { console.log("at work"); await new Promise((done) => setTimeout(done, 1e6)); }';
  const call =
    how === "ifAlone"
      ? `ifAlone(${JSON.stringify(store)}, ${work})`
      : `amongOthers(${JSON.stringify(store)}, new AbortController().signal, ${work})`;
  const script = `const { ${how} } = await import(${JSON.stringify(MODULE)}); await ${call};`;
  const other = startProcess({ argv: [process.execPath, "-e", script], cwd: folder });
  await other.waitForLine(/at work/);
  return other;
}
const tidied = async () => {
  let done = false;
  await ifAlone(store, async () => {
    done = true;
  });
  return done;
};

// Found by chaos: one process's tidying up removed a pack that another one was receiving, and that prompt failed for good.
test("nothing is tidied up while another process is at work in the store; it is once that has died", async () => {
  expect(await tidied()).toBe(true);
  await using other = await startOther("amongOthers");
  expect(await tidied()).toBe(false);
  expect(await amongOthers(store, never, async () => "beside it")).toBe("beside it");
  expect(await tidied()).toBe(false);
  other.kill("SIGKILL");
  await other.exit;
  expect(await tidied()).toBe(true);
});

test("who must be alone waits until nobody else is at work, and others wait for it", async () => {
  const order: string[] = [];
  const other = Promise.withResolvers<void>();
  const first = amongOthers(store, never, async () => {
    await other.promise;
    order.push("other");
  });
  const only = Promise.withResolvers<void>();
  const began = Promise.withResolvers<void>();
  const second = alone(store, never, async () => {
    began.resolve();
    await only.promise;
    order.push("alone");
  });
  expect(await tidied()).toBe(false);
  other.resolve();
  await Promise.all([first, began.promise]);
  const third = amongOthers(store, never, async () => void order.push("next"));
  expect(await tidied()).toBe(false);
  only.resolve();
  await Promise.all([second, third]);
  expect(order).toEqual(["other", "alone", "next"]);
});

test("work in this process keeps it from tidying up, too, and ends with an error as well", async () => {
  const work = Promise.withResolvers<void>();
  const working = amongOthers(store, never, () => work.promise);
  expect(await tidied()).toBe(false);
  work.reject(new Error("failed"));
  await expect(working).rejects.toThrow("failed");
  expect(await tidied()).toBe(true);
});

test("work waits while another process tidies up, or until it is aborted", async () => {
  await using other = await startOther("ifAlone");
  const aborted = new AbortController();
  const given = amongOthers(store, aborted.signal, async () => "never");
  aborted.abort(new Error("cancelled"));
  await expect(given).rejects.toThrow("cancelled");
  let began = false;
  const working = amongOthers(store, never, async () => {
    began = true;
  });
  await expect(amongOthers(store, AbortSignal.timeout(100), async () => "never")).rejects.toThrow();
  expect(began).toBe(false);
  other.kill("SIGKILL");
  await working;
  expect(began).toBe(true);
});
