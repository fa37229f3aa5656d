import { readFileSync } from "node:fs";
import { dirname, join, normalize, resolve } from "node:path";
import { Glob } from "bun";

export interface Import {
  /** As written. */
  specifier: string;
  /** Path from the root of the sources, for a relative import of one of them. */
  file: string | undefined;
  /** `import type` and `export type`: gone at run time. */
  typeOnly: boolean;
  /** The imported names, as the other file exports them; undefined for the module as a whole, or a dynamic import. */
  names: readonly string[] | undefined;
}

export interface Source {
  /** Path from the root of the sources, e.g. `queue/outbox.ts`. */
  path: string;
  text: string;
  /** Comments blanked, line numbers kept. */
  code: string;
  imports: readonly Import[];
  /** Names of exported values; types are left out. */
  exports: readonly string[];
}

// Strings and templates are matched first: a `//` inside one does not start a comment.
const STRING_OR_COMMENT =
  /"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`|\/\*[\s\S]*?\*\/|(?<![\\[])\/\/[^\n]*/g;
const STATEMENT = /^\s*(import|export)\s(?:(type)\s)?(?:([^;"'`()=]*?)\sfrom\s*)?["']([^"']+)["']/gm;
const DYNAMIC = /(\btype\b[^;\n]*|:\s*)?\bimport\(\s*["']([^"']+)["']/g;
const DECLARATION = /^export (?:async |abstract )?(?:function\*?|const|let|class|enum) (\w+)/gm;
const LIST = /^export \{([^}]*)\}/gm;

/** Every TypeScript file below `root`, with its imports: static, dynamic, and of types. @param except a folder. */
export function readSources(root: string, except?: string): Source[] {
  return [...new Glob("**/*.{ts,tsx}").scanSync(root)]
    .filter((path) => !path.endsWith(".d.ts") && !(except !== undefined && path.startsWith(`${except}/`)))
    .sort()
    .map((path) => parseSource(path, readFileSync(resolve(root, path), "utf8")));
}

/** One file's imports and exports. `path` is from the root of the sources. */
export function parseSource(path: string, text: string): Source {
  const code = text.replace(STRING_OR_COMMENT, (found) =>
    found.startsWith("/") ? found.replace(/[^\n]/g, " ") : found,
  );
  const make = (specifier: string, typeOnly: boolean, names?: readonly string[]): Import => ({
    specifier,
    file: specifier.startsWith(".") ? normalize(join(dirname(path), specifier)) : undefined,
    typeOnly,
    names,
  });
  const imports = [
    ...[...code.matchAll(STATEMENT)].map(([, , type, clause = "", specifier = ""]) =>
      make(specifier, type !== undefined, clause.includes("*") ? undefined : importedNames(clause)),
    ),
    ...[...code.matchAll(DYNAMIC)].map((one) => make(one[2] ?? "", one[1] !== undefined)),
  ];
  const exports = [
    ...[...code.matchAll(DECLARATION)].map(([, name = ""]) => name),
    ...[...code.matchAll(LIST)].flatMap(([, list = ""]) => listed(list).map(([from, as = from]) => as)),
  ];
  return { path, text, code, imports, exports };
}

/** The names in `a, { b as c, type D }`, as the other file exports them: default, b, D. */
function importedNames(clause: string): string[] {
  const [, standard, list = ""] = /^\s*(\w+)?[\s,]*(?:\{([^}]*)\})?/.exec(clause) ?? [];
  return [...(standard ? ["default"] : []), ...listed(list).map(([name]) => name)];
}

/** The items of `a, b as c`, each with its name and, where it has one, its new name. Types keep theirs. */
function listed(list: string): [from: string, as?: string][] {
  return list
    .split(",")
    .map((item) => item.trim().replace(/^type /, ""))
    .filter(Boolean)
    .map((item) => item.split(/\s+as\s+/) as [string, string?]);
}

/** Whether the file imports this name, or the module as a whole and mentions the name. */
export function importsName(source: Source, file: string, name: string): boolean {
  return source.imports.some(
    (one) =>
      one.file === file && (one.names?.includes(name) ?? new RegExp(`\\b${name}\\b`).test(source.code)),
  );
}

/** The files of the first import cycle, or undefined. `import type` does not count: it is gone at run time. */
export function findCycle(sources: readonly Source[]): string[] | undefined {
  const edges = new Map(
    sources.map(({ path, imports }) => [
      path,
      imports.flatMap(({ file, typeOnly }) => (file && !typeOnly ? [file] : [])),
    ]),
  );
  return cycleIn(edges);
}

/**
 * The first cycle of rooms, or of the folders of one room, or undefined. Types count: a room that needs the types of
 * another cannot be read without it. A room and its own folders may import each other: the room composes its folders, and
 * they share its seam.
 */
export function findRoomCycle(sources: readonly Source[]): string[] | undefined {
  const paths = new Set(sources.map(({ path }) => path));
  for (const levels of [1, 2]) {
    const edges = new Map<string, string[]>();
    for (const { path, imports } of sources)
      for (const { file } of imports) {
        if (!file || !paths.has(file)) continue;
        const [from, to] = [folderOf(path, levels), folderOf(file, levels)];
        if (from !== to && !from.startsWith(`${to}/`) && !to.startsWith(`${from}/`))
          edges.set(from, [...(edges.get(from) ?? []), to]);
      }
    const cycle = cycleIn(edges);
    if (cycle) return cycle;
  }
  return undefined;
}

const folderOf = (path: string, levels: number) =>
  path.includes("/") ? dirname(path).split("/").slice(0, levels).join("/") : path;

function cycleIn(edges: ReadonlyMap<string, readonly string[]>): string[] | undefined {
  const done = new Set<string>();
  const trail: string[] = [];

  function visit(node: string): string[] | undefined {
    if (trail.includes(node)) return [...trail.slice(trail.indexOf(node)), node];
    if (done.has(node) || !edges.has(node)) return undefined;
    trail.push(node);
    for (const next of edges.get(node) ?? []) {
      const cycle = visit(next);
      if (cycle) return cycle;
    }
    trail.pop();
    done.add(node);
    return undefined;
  }

  for (const node of edges.keys()) {
    const cycle = visit(node);
    if (cycle) return cycle;
  }
  return undefined;
}
