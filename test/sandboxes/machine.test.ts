import { expect, setDefaultTimeout, test } from "bun:test";
import { lstat } from "node:fs/promises";
import { join } from "node:path";
import { SLOW_TEST_TIMEOUT_MS } from "../harness/timeouts.ts";
import { openSandboxFixture, whyNotIsolated } from "./fixture.ts";

setDefaultTimeout(SLOW_TEST_TIMEOUT_MS);
const ownUsers = process.getuid?.() === 0 && (await whyNotIsolated()) === undefined;

/** Cause: only a user that had just been claimed was given the folders. */
test.if(ownUsers)(
  "a sandbox whose folders were not all given to its user gets them when it is reopened",
  async () => {
    const fixture = await openSandboxFixture();
    try {
      const request = fixture.request(fixture.repository.path);
      const sandbox = await fixture.open(request);
      const disk = join(fixture.dataDir, "sandboxes", sandbox.config.id, "disk");
      const { uid } = await lstat(join(disk, "home"));
      expect(uid).not.toBe(0);
      await fixture.run(sandbox, 'mkdir "$HOME/d"; echo x > "$HOME/d/file"');
      // As kill -9 in the middle of it leaves them: chown gives a folder after what is in it.
      await Bun.$`chown 0:0 ${disk}/home ${disk}/home/d ${disk}/state`.quiet();
      await fixture.provider.open(
        sandbox.config,
        request,
        new AbortController().signal,
        async () => undefined,
      );
      for (const name of ["home", "home/d", "state"]) expect((await lstat(join(disk, name))).uid).toBe(uid);
    } finally {
      await fixture.remove();
    }
  },
);

test("what all sandboxes take is measured", async () => {
  const fixture = await openSandboxFixture();
  try {
    const sandbox = await fixture.open(fixture.request(fixture.repository.path));
    const before = await fixture.provider.usedBytes();
    await fixture.run(sandbox, 'head -c 8000000 /dev/urandom > "$HOME/x"; sync "$HOME/x"');
    expect((await fixture.provider.usedBytes()) - before).toBeGreaterThan(7_000_000);
  } finally {
    await fixture.remove();
  }
});
