import { expect, test } from "bun:test";
import type { PermissionDto } from "../../../sdk/src/index.ts";
import { openPermissionReads } from "../../../src/console/session/permission-reads.ts";

const SIZE = 50;

/** Cause: each question and each answer read all questions again, in pages of 50 with up to 64 KiB each, and all were kept. */
test("a thousand questions that are answered one after the other are read by about two requests each", async () => {
  const all: PermissionDto[] = [];
  let requests = 0;
  const read = openPermissionReads(async (cursor, signal) => {
    signal.throwIfAborted();
    requests += 1;
    const from = Number(cursor ?? 0);
    const nextCursor = from + SIZE < all.length ? String(from + SIZE) : null;
    return { data: all.slice(from, from + SIZE), nextCursor };
  });
  const { signal } = new AbortController();
  const ask = (n: number): PermissionDto => ({
    ...{ id: `${n}`, request_id: `r${n}`, prompt_id: "p", session_id: "s", tool: "Bash", title: null },
    ...{ input: { command: "x".repeat(1_000) }, status: "pending", decision: null, reason: null },
    ...{ asked_at: "", expires_at: "", answered_at: null, answered_by: null },
  });
  for (let n = 0; n < 1_000; n++) {
    all.push(ask(n));
    expect((await read(signal)).at(-1)?.status).toBe("pending");
    all[n] = { ...ask(n), status: "allowed", decision: "allow" };
    expect((await read(signal)).at(-1)?.status).toBe("allowed");
  }
  const known = await read(signal);
  expect(known.map(({ id }) => id)).toEqual(all.map(({ id }) => id));
  expect(requests).toBeLessThan(2_200);
  expect(known.some((one) => "input" in one)).toBe(false);
});

test("an open question among answered ones is read until it is answered, however many come after it", async () => {
  const row = (n: number, status: PermissionDto["status"]) => ({ id: `${n}`, status }) as PermissionDto;
  const all = Array.from({ length: 120 }, (_, n) => row(n, n === 7 ? "pending" : "denied"));
  const read = openPermissionReads(async (cursor) => {
    const from = Number(cursor ?? 0);
    return {
      data: all.slice(from, from + SIZE),
      nextCursor: from + SIZE < all.length ? String(from + SIZE) : null,
    };
  });
  const { signal } = new AbortController();
  const openIn = async () => (await read(signal)).filter(({ status }) => status === "pending").length;
  expect(await openIn()).toBe(1);
  all[7] = row(7, "allowed");
  expect(await openIn()).toBe(0);
  expect(await read(signal)).toHaveLength(120);
});
