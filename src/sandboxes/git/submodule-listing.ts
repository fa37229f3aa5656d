import { bytesOf, pathIn } from "./git-paths.ts";

/** A submodule of a commit. */
export interface Submodule {
  /** As pathIn writes it. */
  path: string;
  commit: string;
  /** What .gitmodules says of it. Undefined: nothing. */
  url: string | undefined;
  branch: string | undefined;
}

/** What LISTED (submodule-scripts.ts) prints of a commit: its size, and its submodules. */
export interface SubmoduleListing {
  files: number;
  bytes: number;
  submodules: readonly Submodule[];
}

/** Parses what LISTED prints. */
export function listingIn(output: string): SubmoduleListing {
  const end = output.indexOf("\n\n");
  const lines = output.slice(0, end).split("\n");
  const said = modulesIn(output.slice(end + 2));
  const [, files, bytes] = /^size (\d+) (\d+)$/.exec(lines.at(-1) ?? "") ?? [];
  const submodules = lines.flatMap((line) => {
    const [, commit, name = ""] = /^160000 commit ([0-9a-f]{40,64}) +-\t(.+)$/.exec(line) ?? [];
    const path = plainPath(name);
    return commit === undefined || path === undefined
      ? []
      : [{ path, commit, ...(said.get(path) ?? { url: undefined, branch: undefined }) }];
  });
  return { files: Number(files), bytes: Number(bytes), submodules };
}

/** A path as git prints it, as pathIn writes it. Undefined: no checkout has such a file. */
export function plainPath(printed: string): string | undefined {
  const bytes = bytesOf(printed);
  return bytes && pathIn(bytes);
}

/** What .gitmodules says, by path: the last one counts. */
function modulesIn(config: string): Map<string, Pick<Submodule, "url" | "branch">> {
  const byName = new Map<string, Map<string, string>>();
  for (const entry of config.split("\0")) {
    const [, name, key, value] = /^submodule\.(.*)\.(path|url|branch)\n(.*)$/s.exec(entry) ?? [];
    if (name === undefined || key === undefined || value === undefined) continue;
    byName.set(name, (byName.get(name) ?? new Map<string, string>()).set(key, value));
  }
  return new Map(
    [...byName.values()].flatMap((module) => {
      const path = module.get("path")?.replace(/\/+$/, "");
      return path === undefined
        ? []
        : [[path, { url: module.get("url"), branch: module.get("branch") }] as const];
    }),
  );
}
