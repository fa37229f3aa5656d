import type { PermissionDto } from "../../../sdk/src/index.ts";

/** How a question stands. What the tool would get is in the conversation, and may have 64 KiB. */
export type Permission = Omit<PermissionDto, "input">;

interface Page {
  data: readonly PermissionDto[];
  nextCursor: string | null;
}

/**
 * Reads the questions of a session, again and again: what was answered stays so, and a page of which that is true of all is not
 * read again. An agent may ask a thousand times, and each question and each answer is a reason to read.
 * @param list reads a page in the order in which they were asked.
 */
export function openPermissionReads(
  list: (cursor: string | undefined, signal: AbortSignal) => Promise<Page>,
): (signal: AbortSignal) => Promise<readonly Permission[]> {
  const settled = new Map<string, Permission>();
  let next: string | undefined;
  return async (signal) => {
    const open: Permission[] = [];
    for (let cursor = next; ; ) {
      const { data, nextCursor } = await list(cursor, signal);
      const page = data.map(({ input: _, ...one }): Permission => one);
      cursor = nextCursor ?? undefined;
      if (cursor !== undefined && open.length === 0 && page.every(({ status }) => status !== "pending")) {
        for (const one of page) settled.set(one.id, one);
        next = cursor;
      } else open.push(...page);
      if (cursor === undefined) return [...settled.values(), ...open];
    }
  };
}
