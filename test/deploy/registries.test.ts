import { expect, test } from "bun:test";
import { join, resolve } from "node:path";

const ROOT = resolve(import.meta.dir, "../..");

/** Hosts of npm, JSR, PyPI, crates, Maven Central and Go's proxy, in parts, so that this file names none either. */
const HOSTS = [
  ["npmjs", "org"],
  ["npmjs", "com"],
  ["yarnpkg", "com"],
  ["jsr", "io"],
  ["pypi", "org"],
  ["pythonhosted", "org"],
  ["crates", "io"],
  ["repo1", "maven", "org"],
  ["maven", "apache", "org"],
  ["sonatype", "com"],
  ["proxy", "golang", "org"],
  ["sum", "golang", "org"],
].map((parts) => parts.join("."));

/** How npm is given a token: its setting, and the variables in which workflows pass it. */
const TOKENS = [
  ["_auth", "Token"],
  ["NPM_", "TOKEN"],
  ["NODE_AUTH_", "TOKEN"],
].map((parts) => parts.join(""));

const FORBIDDEN = [...HOSTS, ...TOKENS].map((name) => ({
  name,
  // Not a part of a longer name.
  pattern: new RegExp(`(?<![\\w-])${name.replaceAll(".", "\\.")}(?![\\w-])`, "i"),
}));

const findings = (text: string) =>
  FORBIDDEN.filter(({ pattern }) => pattern.test(text)).map(({ name }) => name);

test("no file names the host of a package registry, or a token for one", async () => {
  const files = (await Bun.$`git ls-files -z --cached --others --exclude-standard`.cwd(ROOT).text())
    .split("\0")
    .filter(Boolean);
  expect(files.length).toBeGreaterThan(100);
  const found = await Promise.all(
    files.map(async (path) => {
      const file = Bun.file(join(ROOT, path));
      // A file that is deleted, and not committed yet, is listed as well.
      return (await file.exists()) ? findings(await file.text()).map((name) => `${path}: ${name}`) : [];
    }),
  );
  expect(found.flat()).toEqual([]);
});

test("lock files take packages from the registry that is set, wherever they were made", async () => {
  for (const path of ["bun.lock", "sdk/bun.lock"])
    expect([path, (await Bun.file(join(ROOT, path)).text()).match(/https?:\/\/[^"/]+/g)]).toEqual([
      path,
      null,
    ]);
});
