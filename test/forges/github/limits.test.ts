import { describe, expect, test } from "bun:test";
import { rateLimited, refusal, secondaryLimited } from "../../harness/github/replies.ts";
import { addPull } from "../../harness/github/state.ts";
import { faultOf, NEW, REPOSITORY, startGithub, within } from "./fixture.ts";

const CREATE = /^POST .*\/pulls$/;
const READ = /^GET .*\/pulls\/1$/;

const started = async () => {
  const { github, repository, forgeWith } = await startGithub();
  return { github, repository, forge: forgeWith(github.addToken()) };
};

describe("the rate limits of GitHub", () => {
  test.each([
    ["the limit of an hour", rateLimited(1)],
    ["a secondary limit", secondaryLimited(1)],
  ])("%s that ends soon is sat out, and the pull request is created once", async (_name, limit) => {
    const { github, repository, forge } = await started();
    github.once(CREATE, limit);
    expect(await forge.createPullRequest(REPOSITORY, NEW, within())).toMatchObject({ number: 1 });
    expect(repository.pulls).toHaveLength(1);
    expect(github.requests).toHaveLength(2);
  });

  test.each([
    ["the limit of an hour", rateLimited(1_800), 1_800],
    ["a secondary limit", secondaryLimited(90), 90],
    ["a secondary limit that does not say for how long", secondaryLimited(), 60],
    ["a limit with a status of its own", refusal(429, "Slow down", { headers: { "retry-after": "30" } }), 30],
    ["a limit that would last for years", secondaryLimited(9e8), 24 * 3_600],
  ])("%s is told with the time to try again", async (_name, limit, seconds) => {
    const { github, repository, forge } = await started();
    github.once(CREATE, limit);
    const fault = await faultOf(forge.createPullRequest(REPOSITORY, NEW, within()));
    expect(fault.fault).toBe("rate_limited");
    const wait = (fault.retryAt?.getTime() ?? 0) - Date.now();
    expect(wait).toBeGreaterThan((seconds - 30) * 1_000);
    expect(wait).toBeLessThan((seconds + 2) * 1_000);
    expect(fault.message).toContain("Retry after 20");
    expect(github.requests).toHaveLength(1);
    expect(repository.pulls).toEqual([]);
  });

  test("a limit that is still there after the wait is not waited for again", async () => {
    const { github, forge } = await started();
    for (let time = 0; time < 3; time += 1) github.once(CREATE, secondaryLimited(1));
    const fault = await faultOf(forge.createPullRequest(REPOSITORY, NEW, within()));
    expect(fault.fault).toBe("rate_limited");
    expect(github.requests).toHaveLength(2);
  });

  test("a wait ends with the signal", async () => {
    const { github, forge } = await started();
    const cancelled = new AbortController();
    github.once(CREATE, () => {
      setTimeout(() => cancelled.abort(new Error("cancelled by the user")), 50);
      return secondaryLimited(8);
    });
    const began = performance.now();
    await expect(forge.createPullRequest(REPOSITORY, NEW, cancelled.signal)).rejects.toThrow(
      "cancelled by the user",
    );
    expect(performance.now() - began).toBeLessThan(4_000);
  });
});

describe("a GitHub that fails", () => {
  test("is read again, and what it refuses is not", async () => {
    const { github, repository, forge } = await started();
    addPull(repository, NEW);
    github.once(READ, refusal(502, "Server Error"));
    expect(await forge.readPullRequest(REPOSITORY, 1, within())).toMatchObject({ number: 1 });
    for (const status of [403, 404]) {
      const before = github.requests.length;
      github.once(READ, refusal(status, "No"));
      await faultOf(forge.readPullRequest(REPOSITORY, 1, within()));
      expect(github.requests).toHaveLength(before + 1);
    }
  });

  test("is not asked for a pull request again: it may have made it", async () => {
    const { github, repository, forge } = await started();
    github.once(CREATE, async (_request, proceed) => {
      await proceed();
      return refusal(502, "Server Error");
    });
    const fault = await faultOf(forge.createPullRequest(REPOSITORY, NEW, within()));
    expect(fault.fault).toBe("unavailable");
    expect(fault.message).toContain(
      "failed to create a pull request from agent/basket into main in acme/shop (502",
    );
    expect(github.requests).toHaveLength(1);
    expect((await forge.findPullRequest(REPOSITORY, NEW, within()))?.number).toBe(1);
    expect(repository.pulls).toHaveLength(1);
  });

  test("or that cannot be reached is unavailable", async () => {
    const { github, forge } = await started();
    await github.stop();
    const fault = await faultOf(forge.createPullRequest(REPOSITORY, NEW, within()));
    expect(fault.fault).toBe("unavailable");
    expect(fault.message).toContain("could not be reached to create a pull request");
  });

  test("a request ends with its signal", async () => {
    const { github, repository, forge } = await started();
    addPull(repository, NEW);
    const cancelled = new AbortController();
    github.once(READ, async () => {
      cancelled.abort(new Error("the run is over"));
      return refusal(503, "Later");
    });
    await expect(forge.readPullRequest(REPOSITORY, 1, cancelled.signal)).rejects.toThrow("the run is over");
    await expect(forge.readPullRequest(REPOSITORY, 1, cancelled.signal)).rejects.toThrow("the run is over");
    expect(github.requests).toHaveLength(1);
  });

  test("requests that have been cancelled keep no other waiting", async () => {
    const { github, repository, forge } = await started();
    addPull(repository, NEW);
    const cancelled = new AbortController();
    const held = Promise.withResolvers<void>();
    let waiting = 0;
    // As many as Octokit has under way at once.
    const reads = Array.from({ length: 10 }, () => {
      github.once(READ, async (_request, proceed) => {
        waiting += 1;
        if (waiting === 10) cancelled.abort(new Error("the run is over"));
        await held.promise;
        return proceed();
      });
      return forge.readPullRequest(REPOSITORY, 1, cancelled.signal);
    });
    for (const result of await Promise.allSettled(reads)) expect(result.status).toBe("rejected");
    // Well below the second after which the first of them would be repeated.
    expect(await forge.findPullRequest(REPOSITORY, NEW, within(800))).toMatchObject({ number: 1 });
    held.resolve();
  });
});
