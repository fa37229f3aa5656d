import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { emptyFolder } from "../../../src/sandboxes/git/submodule-folder.ts";

let root: string;
let checkout: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "pb-folder-"));
  checkout = join(root, "checkout");
  await mkdir(join(checkout, "libs/one"), { recursive: true });
  await mkdir(join(checkout, ".GIT/modules"), { recursive: true });
  await mkdir(join(checkout, "full"));
  await mkdir(join(root, "outside/one"), { recursive: true });
  await writeFile(join(checkout, "full/file"), "");
  await writeFile(join(checkout, "file"), "");
  await symlink(join(root, "outside"), join(checkout, "away"));
  await symlink("libs/one", join(checkout, "near"));
});
afterAll(() => rm(root, { recursive: true, force: true }));

describe("the folder of a submodule", () => {
  test("is an empty one of the checkout", async () => {
    expect(await emptyFolder(checkout, "libs/one")).toBe(join(checkout, "libs/one"));
  });

  test("may be below a link that leads to the checkout itself", async () => {
    await symlink(checkout, join(root, "link"));
    expect(await emptyFolder(join(root, "link"), "libs/one")).toBe(join(root, "link/libs/one"));
  });

  test.each(["away/one", "away", "near", "full", "file", "missing", "full/file"])(
    "is not %s, which is behind a link, no folder, or has something in it",
    async (path) => {
      await expect(emptyFolder(checkout, path)).rejects.toThrow(
        "its path is no empty folder of the checkout",
      );
    },
  );

  test.each(["../outside/one", "libs/../libs/one", "./libs/one", ".GIT/modules"])(
    "is not %s",
    async (path) => {
      await expect(emptyFolder(checkout, path)).rejects.toThrow("git allows no such path");
    },
  );
});
