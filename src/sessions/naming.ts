/** In UTF-16 code units. */
const MAX_TITLE = 60;
const MAX_BRANCH = 60;
const FALLBACK = "New session";
/** Of a prompt, which may have megabytes: some expressions below take the square of a hostile text's length. */
const LOOKED_AT = 1_000;

const graphemes = new Intl.Segmenter("en", { granularity: "grapheme" });

/** A title derived from a prompt: its first sentence, without markup, at most 60 characters, cut between words. */
export function titleOf(prompt: string): string {
  const line = prompt
    .trimStart()
    .slice(0, LOOKED_AT)
    .split("\n")
    .map((one) => clean(one))
    .find((one) => /[\p{L}\p{N}]/u.test(one));
  if (!line) return FALLBACK;
  const sentence = /^(.{8,}?)[.!?:;](?=\s|$)/u.exec(line)?.[1] ?? line;
  return shorten(sentence.replace(/[\s.,:;!?-]+$/u, ""), MAX_TITLE) || FALLBACK;
}

/** A model's text as a title of one line. "" if nothing remains. */
export function normalizeTitle(text: string): string {
  return shorten(
    clean(text.trimStart().slice(0, LOOKED_AT)).replace(/^["'“”‘’]+|["'“”‘’.]+$/gu, ""),
    MAX_TITLE,
  );
}

/**
 * A branch name for a title: valid in git, at most 60 characters unless the prefix is long, unique by its random suffix.
 * @param prefix what the names of all branches that sessions push begin with.
 */
export function branchOf(title: string, prefix: string, suffix: string = randomSuffix()): string {
  const slug = title
    .normalize("NFKD")
    .replace(/\p{M}+/gu, "")
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-+|-+$/g, "");
  const room = Math.max(0, MAX_BRANCH - prefix.length - suffix.length - 1);
  const words =
    slug.length <= room
      ? slug
      : slug
          .slice(0, room + 1)
          .replace(/-[^-]*$/, "")
          .slice(0, room);
  return `${prefix}${words ? `${words}-` : ""}${suffix}`;
}

/** 32 random bits in base 36. */
function randomSuffix(): string {
  return crypto.getRandomValues(new Uint32Array(1))[0]?.toString(36).padStart(7, "0") ?? "";
}

function clean(line: string): string {
  return line
    .replace(/```.*$/u, " ")
    .replace(/!?\[([^\]]*)\]\([^)]*\)/gu, "$1")
    .replace(/https?:\/\/(\S+)/gu, (_, rest: string) => rest.split(/[?#]/u)[0] ?? "")
    .replace(/^[\s>#*+-]+/u, "")
    .replace(/[`*]+/gu, "")
    .replace(/[\p{C}\s]+/gu, " ")
    .trim();
}

/** Cuts between words, and never inside a grapheme. */
function shorten(text: string, limit: number): string {
  if (text.length <= limit) return text;
  let cut = "";
  for (const { segment } of graphemes.segment(text)) {
    if (cut.length + segment.length > limit - 1) break;
    cut += segment;
  }
  const atWord = cut.replace(/\s+\S*$/u, "");
  return `${(atWord.length > limit / 2 ? atWord : cut).trimEnd()}…`;
}
