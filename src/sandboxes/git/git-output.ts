import type { Secret } from "../../shared/secret.ts";

/** Why a branch was refused: `push --porcelain` prints it on stdout. */
export function rejection(stdout: string): string {
  const line = stdout.split("\n").find((one) => one.startsWith("!\t"));
  return line?.split("\t")[2] ?? "";
}

/** Advice for whoever sits at a terminal, several lines that would push what git says of the error out of what is kept. */
const LOCK_ADVICE = /(?<=: File exists)\.[\s\S]{0,600}?remove the file manually to continue\./g;

/** The end of git's output, without credentials, prefixes and hints. */
export function scrub(stderr: string, token: Secret | undefined): string {
  const lines = stderr
    .replace(LOCK_ADVICE, "")
    .split(/[\n\r]/)
    .map((line) => line.replace(/^(remote:\s*|fatal:\s*|error:\s*)+/, "").trim())
    .filter((line) => line !== "" && !line.startsWith("hint:"));
  const text = [...new Set(lines)]
    .slice(-6)
    .join("; ")
    .replace(/\/\/[^/@\s]+@/g, "//");
  return (token ? text.replaceAll(token.reveal(), "***") : text).slice(0, 1000);
}
