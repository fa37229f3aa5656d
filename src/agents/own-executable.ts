import { resolve } from "node:path";
import type { Program } from "./find-program.ts";

/** This program, and how to start one of its subcommands. */
export interface OwnExecutable extends Program {
  /** Program and arguments; append a subcommand. */
  argv: readonly [string, ...string[]];
}

/**
 * The compiled executable, or, from source, Bun with src/main.ts. From source, only what it needs to run is readable, not
 * the whole project: DATA_DIR with its keys is often inside it.
 */
export function ownExecutable(): OwnExecutable {
  const path = process.execPath;
  if (import.meta.dir.startsWith("/$bunfs")) return { path, argv: [path], readable: [path] };
  const project = resolve(import.meta.dir, "../..");
  const inProject = ["src", "drizzle", "node_modules", "package.json", "tsconfig.json", "bunfig.toml"];
  // Bun reads bunfig.toml and .env from its working directory, which is the user's repository.
  const flags = [`--config=${resolve(project, "bunfig.toml")}`, "--no-env-file"];
  return {
    path,
    argv: [path, ...flags, resolve(project, "src/main.ts")],
    readable: [path, ...inProject.map((one) => resolve(project, one))],
  };
}
