import { open } from "node:fs/promises";
import { RepositoryError } from "./git-errors.ts";
import { BUNDLED } from "./packing.ts";

/** Of a bundle's header, which names its branches and what they build on. */
const HEADER_BYTES = 64 * 1024;

/**
 * Reads the header of a bundle that an agent's sandbox made. git itself would not check the objects of a bundle
 * (fsckObjects has no effect on them), so the pack in it is read by commands that do.
 * @returns the work's commit, and where the pack begins (counted from 1).
 * @throws RepositoryError if it is no bundle of ours.
 */
export async function packOf(file: string): Promise<{ tip: string; offset: string }> {
  const { refs, offset } = await headerOf(file);
  const [work, ...others] = refs;
  if (work?.name !== BUNDLED || others.length > 0) throw notOurs();
  return { tip: work.commit, offset };
}

/**
 * The branches in a bundle, the commits that it builds on, and where its pack begins (counted from 1).
 * @throws RepositoryError if it is no bundle.
 */
export async function headerOf(
  file: string,
): Promise<{ refs: { commit: string; name: string }[]; bases: string[]; offset: string }> {
  const handle = await open(file, "r");
  try {
    const buffer = Buffer.alloc(HEADER_BYTES);
    const { bytesRead } = await handle.read(buffer, 0, HEADER_BYTES, 0);
    const end = buffer.subarray(0, bytesRead).indexOf("\n\n");
    const [first, ...lines] = buffer.toString("latin1", 0, Math.max(end, 0)).split("\n");
    const bases = lines.flatMap((line) => /^-([0-9a-f]{40}|[0-9a-f]{64})(?: |$)/.exec(line)?.[1] ?? []);
    const refs = lines
      .filter((line) => !/^-[0-9a-f]{40,64}( |$)/.test(line))
      .map((line) => {
        const [, commit, name] = /^([0-9a-f]{40}|[0-9a-f]{64}) (.+)$/.exec(line) ?? [];
        if (commit === undefined || name === undefined) throw notOurs();
        return { commit, name };
      });
    if (first !== "# v2 git bundle") throw notOurs();
    return { refs, bases, offset: `${end + 3}` };
  } finally {
    await handle.close();
  }
}

const notOurs = () =>
  new RepositoryError("The agent's commits could not be imported: they are not in a bundle of git.");
