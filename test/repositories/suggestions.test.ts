import { expect, setSystemTime, test } from "bun:test";
import { type Forge, ForgeError } from "../../src/forges/forge.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { openSuggestions } from "../../src/repositories/suggestions.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { listingForge, repositoriesApp } from "./fixture.ts";

const HOST = "https://forge.example";
const SILENT = { logger: createLogger({ level: "silent" }) };
const one = { path: "owner/private", defaultBranch: "main" };

describeEachDatabase("whom hosts' suggestions are shown to", (database) => {
  const app = (env: Record<string, string>) => {
    const asked: string[] = [];
    const forge = listingForge(HOST, async () => {
      asked.push(HOST);
      return [one];
    });
    return { asked, ...repositoriesApp(database(), { env, forges: [forge] }) };
  };
  const OIDC = { KEYCLOAK_ISSUER: "https://issuer.example" };

  test("with an identity provider, to admins alone: nobody else makes the service ask", async () => {
    const { get, asked } = app(OIDC);
    expect((await get("/repositories", "mallory")).body).toEqual({ repositories: [], unavailable: [] });
    expect(asked).toEqual([]);
    expect((await get("/repositories", "admin")).body.repositories).toMatchObject([
      { repo: `${HOST}/owner/private`, source: "forge" },
    ]);
    // What was kept for an admin is not for others.
    expect((await get("/repositories?q=private", "mallory")).body.repositories).toEqual([]);
  });

  test("with an identity provider, a failing host is named to admins alone", async () => {
    const forge = listingForge(HOST, () => Promise.reject(new ForgeError("unavailable", "10.0.0.7 is away")));
    const { get } = repositoriesApp(database(), { env: OIDC, forges: [forge] });
    expect((await get("/repositories", "mallory")).body.unavailable).toEqual([]);
    expect((await get("/repositories", "admin")).body.unavailable).toHaveLength(1);
  });

  test.each([[{ AUTH_MODE: "local" }], [{ AUTH_MODE: "none" }]])(
    "with %p, to whoever may use the service",
    async (env) => {
      expect((await app(env).get("/repositories", "mallory")).body.repositories).toHaveLength(1);
    },
  );
});

test("hosts without a credential are not asked", async () => {
  const suggestions = openSuggestions({ ...SILENT, forges: [listingForge(HOST, undefined)] });
  expect(await suggestions.find()).toEqual({ repositories: [], unavailable: [] });
});

test("what was found is kept, and asked for once however many want it", async () => {
  let asked = 0;
  const forge = listingForge(HOST, async () => {
    asked += 1;
    return [one];
  });
  const suggestions = openSuggestions({ ...SILENT, forges: [forge] });
  await Promise.all([suggestions.find(), suggestions.find()]);
  expect((await suggestions.find()).repositories).toHaveLength(1);
  expect(asked).toBe(1);
});

test.each([
  ["found", 5 * 60, async () => [one]],
  ["failed", 60, () => Promise.reject(new ForgeError("unavailable", "away"))],
] as const)("what has %s is asked for again after %d seconds, not before", async (_, seconds, answer) => {
  let asked = 0;
  const forge = listingForge(HOST, () => {
    asked += 1;
    return answer();
  });
  const suggestions = openSuggestions({ ...SILENT, forges: [forge] });
  const begin = Date.now();
  try {
    for (const [after, times] of [
      [0, 1],
      [seconds - 1, 1],
      [seconds + 1, 2],
    ] as const) {
      setSystemTime(begin + after * 1_000);
      await suggestions.find();
      expect([after, asked]).toEqual([after, times]);
    }
  } finally {
    setSystemTime();
  }
});

test("a host that fails leaves out its own, and the reason says nothing of the service", async () => {
  const forges = [
    listingForge("https://away.example", () =>
      Promise.reject(new ForgeError("unauthorised", "GITHUB_TOKEN secret-token was revoked")),
    ),
    listingForge(HOST, async () => [one]),
  ];
  const found = await openSuggestions({ ...SILENT, forges }).find();
  expect(found.repositories).toMatchObject([{ path: "owner/private" }]);
  expect(found.unavailable).toEqual([
    { host: "away.example", reason: "It does not accept the service's credential." },
  ]);
});

test("where a part fails, the others are suggested, why is told, and it is asked for again as after a failure", async () => {
  let asked = 0;
  const forge: Forge = {
    ...listingForge(HOST, async () => []),
    async listRepositories(_, onPartFailed) {
      asked += 1;
      onPartFailed(new ForgeError("forbidden", "installation 8 is suspended"));
      return [one];
    },
  };
  const logged: unknown[] = [];
  const logger = { warn: (_: string, fields?: object) => void logged.push(fields) };
  const suggestions = openSuggestions({ forges: [forge], logger });
  const begin = Date.now();
  try {
    setSystemTime(begin);
    const found = await suggestions.find();
    expect(found.repositories).toMatchObject([{ path: "owner/private" }]);
    expect(found.unavailable).toEqual([
      {
        host: "forge.example",
        reason: "Some repositories are missing. The service's credential may not list repositories.",
      },
    ]);
    expect(logged).toEqual([{ host: "forge.example", error: "installation 8 is suspended" }]);
    setSystemTime(begin + 61_000);
    await suggestions.find();
    expect(asked).toBe(2);
  } finally {
    setSystemTime();
  }
});

test("a host that is slow is not waited for, and its answer is there for a later request", async () => {
  const answer = Promise.withResolvers<readonly (typeof one)[]>();
  const slow = listingForge(HOST, () => answer.promise);
  const suggestions = openSuggestions({ ...SILENT, forges: [slow], patienceMs: 5 });
  expect(await suggestions.find()).toEqual({
    repositories: [],
    unavailable: [{ host: "forge.example", reason: "It has not answered in time." }],
  });
  answer.resolve([one]);
  expect((await suggestions.find()).repositories).toHaveLength(1);
});

test("the service's end ends what it asks", async () => {
  const slow = listingForge(
    HOST,
    (signal) =>
      new Promise((_, reject) =>
        signal.addEventListener("abort", () => reject(signal.reason), { once: true }),
      ),
  );
  const suggestions = openSuggestions({ ...SILENT, forges: [slow] });
  const found = suggestions.find();
  suggestions.close();
  expect((await found).unavailable).toHaveLength(1);
});
