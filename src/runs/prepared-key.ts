import type { Look } from "../sandboxes/sandbox.ts";

const wordsOf = (text: string): ReadonlySet<string> => new Set(text.trim().split(/\s+/));

/** Files that say what a package manager installs. */
const LOCK_FILES = wordsOf(`
  package-lock.json npm-shrinkwrap.json bun.lock bun.lockb yarn.lock pnpm-lock.yaml deno.lock
  Cargo.lock go.sum poetry.lock uv.lock pdm.lock Pipfile.lock pixi.lock pylock.toml Gemfile.lock
  composer.lock mix.lock rebar.lock pubspec.lock Package.resolved Podfile.lock gradle.lockfile
  buildscript-gradle.lockfile verification-metadata.xml packages.lock.json paket.lock flake.lock
  MODULE.bazel.lock conan.lock renv.lock cabal.project.freeze stack.yaml.lock Manifest.toml
  devbox.lock mise.lock
`);
const REQUIREMENTS = /^(?:requirements|constraints).*\.txt$/;
/** Files that say which version of a language there should be. */
const VERSIONS = wordsOf(`
  .nvmrc .node-version .python-version .ruby-version .tool-versions .sdkmanrc .java-version
  rust-toolchain rust-toolchain.toml global.json mise.toml .npmrc .yarnrc.yml
`);

const nameOf = (path: string) => path.slice(path.lastIndexOf("/") + 1);
const isLock = (path: string) => LOCK_FILES.has(nameOf(path)) || REQUIREMENTS.test(nameOf(path));

/**
 * The entries of a checkout's index that decide what setup leaves: lock files, submodules, versions of languages, and the files
 * that the command names. Without any lock file nothing tells when dependencies change: then it is all of them.
 */
export function decisive(index: Look["index"], setupCommand: string): readonly string[] {
  const named = new Set(setupCommand.split(/[\s"'`;|&()<>=]+/).map((word) => word.replace(/^(?:\.\/)+/, "")));
  let locked = false;
  const entries = index.filter((entry) => {
    const path = entry.slice(entry.indexOf("\t") + 1);
    if (isLock(path)) locked = true;
    return isLock(path) || named.has(path) || VERSIONS.has(nameOf(path)) || /^. 160000 /.test(entry);
  });
  return locked ? entries : index;
}
