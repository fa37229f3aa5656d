import { expect, test } from "bun:test";
import { createMasks } from "../../../src/sandboxes/isolation/mount-masks.ts";

// To the kernel, git on a repository of root's is root: no file's permission holds it.
test("a program that runs as root has masks, also where others have users of their own", () => {
  const masks = createMasks({ ownUser: true, root: true });
  const asRoot = masks(0).join(" ");
  expect(asRoot).toContain("--remount-ro /proc");
  expect(asRoot).toBe(createMasks({ ownUser: false, root: true })(0).join(" "));
  expect(masks(65_000)).toEqual([]);
});
