/** The languages that the worker knows, by the ends of files' names. */
const BY_EXTENSION: Readonly<Record<string, string>> = {
  bash: "bash",
  c: "c",
  cc: "cpp",
  cjs: "javascript",
  cpp: "cpp",
  cs: "csharp",
  css: "css",
  cts: "typescript",
  diff: "diff",
  go: "go",
  gql: "graphql",
  graphql: "graphql",
  h: "c",
  hpp: "cpp",
  htm: "xml",
  html: "xml",
  ini: "ini",
  java: "java",
  js: "javascript",
  json: "json",
  jsonl: "json",
  jsx: "javascript",
  kt: "kotlin",
  kts: "kotlin",
  less: "less",
  lua: "lua",
  md: "markdown",
  mjs: "javascript",
  mts: "typescript",
  patch: "diff",
  php: "php",
  pl: "perl",
  py: "python",
  r: "r",
  rb: "ruby",
  rs: "rust",
  scss: "scss",
  sh: "bash",
  sql: "sql",
  svg: "xml",
  swift: "swift",
  toml: "ini",
  ts: "typescript",
  tsx: "typescript",
  vue: "xml",
  xml: "xml",
  yaml: "yaml",
  yml: "yaml",
  zsh: "bash",
};

/** The language of a file, by its name; undefined: none that is known. */
export function languageOf(path: string): string | undefined {
  const name = path.slice(path.lastIndexOf("/") + 1).toLowerCase();
  if (name === "makefile") return "makefile";
  return byName(BY_EXTENSION, name.slice(name.lastIndexOf(".") + 1));
}

/** The language that a fenced block of markdown names, such as `ts` or `typescript`. */
export function languageNamed(name: string): string | undefined {
  const wanted = name.toLowerCase();
  return byName(BY_EXTENSION, wanted) ?? (NAMES.has(wanted) ? wanted : undefined);
}

const NAMES: ReadonlySet<string> = new Set([...Object.values(BY_EXTENSION), "makefile", "shell"]);

/** Own keys alone: a file may be called `x.constructor`. */
const byName = (map: Readonly<Record<string, string>>, name: string): string | undefined =>
  Object.hasOwn(map, name) ? map[name] : undefined;
