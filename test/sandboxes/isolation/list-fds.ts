import { makeRepository } from "../../harness/repository.ts";
import { openSandboxFixture } from "../fixture.ts";

/** A service of its own that was started with open files: prints those of a program in one of its sandboxes. */
const fixture = await openSandboxFixture();
const repo = await makeRepository();
try {
  const sandbox = await fixture.open(fixture.request(repo.path));
  // ls itself opens the folder.
  const { out } = await fixture.run(sandbox, "ls /proc/self/fd");
  console.log(out.split("\n").join(" "));
} finally {
  await fixture.remove();
  await repo.remove();
}
