import { expect, test } from "bun:test";
import { askEarly } from "../../../src/console/early.ts";

/** A service that signs in `user`, and the page's early requests to it. */
function open(user: object | null, broken: readonly string[] = []) {
  const asked: string[] = [];
  const early = askEarly(async (input) => {
    asked.push(String(input));
    if (broken.includes(String(input))) throw new TypeError("Failed to fetch");
    return Response.json({ user, path: input });
  });
  return { asked, early };
}

/** One turn of the event loop. */
const turn = () => new Promise((resolve) => setTimeout(resolve));

test("what every page needs is asked for once, and the answer serves the first request for it", async () => {
  const { asked, early } = open({ id: "ada" });
  early.begin(true);
  expect(asked).toEqual(["/auth/session", "/sessions?limit=100", "/me"]);
  for (const path of ["/auth/session", "/me", "/sessions?limit=100"])
    expect(await (await early.fetch(`http://127.0.0.1:8000${path}`, { method: "GET" })).json()).toMatchObject(
      { path },
    );
  expect(asked).toHaveLength(3);
  await early.fetch("/me", { method: "GET" });
  expect(asked).toHaveLength(4);
});

test("of somebody who is not signed in, nothing is asked but that", async () => {
  const { asked, early } = open(null);
  early.begin(false);
  await (await early.fetch("/auth/session", { method: "GET" })).json();
  await turn();
  expect(asked).toEqual(["/auth/session"]);
});

test("on the first visit the rest is asked for as soon as somebody turns out to be signed in", async () => {
  const { asked, early } = open({ id: "ada" });
  early.begin(false);
  expect(asked).toEqual(["/auth/session"]);
  expect((await (await early.fetch("/auth/session", { method: "GET" })).json()).user.id).toBe("ada");
  while (asked.length < 3) await turn();
  await early.fetch("/me", { method: "GET" });
  expect(asked).toEqual(["/auth/session", "/sessions?limit=100", "/me"]);
});

test("what failed early is asked again", async () => {
  const broken = ["/auth/session"];
  const { asked, early } = open({ id: "ada" }, broken);
  early.begin(true);
  broken.pop();
  expect((await early.fetch("/auth/session", { method: "GET" })).ok).toBe(true);
  expect(asked.filter((path) => path === "/auth/session")).toHaveLength(2);
});

test("an answer is not one to a request that changes something, nor to one that was given up", async () => {
  const { asked, early } = open({ id: "ada" });
  early.begin(true);
  await early.fetch("/me", { method: "PUT" });
  expect(asked).toHaveLength(4);
  const request = early.fetch("/sessions?limit=100", { method: "GET", signal: AbortSignal.abort() });
  await expect(request).rejects.toThrow("abort");
});
