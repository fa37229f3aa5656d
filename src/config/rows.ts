import { ConfigMistake } from "./mistakes.ts";
import type { Parse } from "./parsers.ts";

/** One environment variable. */
export interface Row {
  env: string;
  /** Another name for it, which `env` takes precedence over. */
  alias?: string;
  /** As text, parsed like a given value; absent: the setting is undefined when the variable is unset. */
  default?: string;
  /** One sentence or two for --help and .env.example. */
  doc: string;
  parse: Parse<unknown>;
  /** May be given by a file, and is removed from the environment. */
  secret?: true;
}

/** Settings by their names in the code; they may be nested. */
export interface Rows {
  readonly [setting: string]: Row | Rows;
}

/** The parsed values of rows. */
export type ValuesOf<R> = { readonly [Setting in keyof R]: ValueOf<R[Setting]> };
type ValueOf<R> = R extends { parse: Parse<infer T> }
  ? R extends { default: string }
    ? T
    : T | undefined
  : ValuesOf<R>;

/** The names of the variables in rows, aliases included. */
export type NamesOf<R> = R extends { parse: Parse<unknown>; env: infer Name }
  ? Name | (R extends { alias: infer Alias } ? Alias : never)
  : { [Setting in keyof R]: NamesOf<R[Setting]> }[keyof R];

export const isRow = (one: Row | Rows): one is Row => typeof one["parse"] === "function";

/** All rows, flattened. */
export function flatten(rows: Rows): Row[] {
  return Object.values(rows).flatMap((one) => (isRow(one) ? [one] : flatten(one)));
}

export type Env = Readonly<Record<string, string | undefined>>;

/** The mistakes found so far, by variable. The first one of a variable stands: others tend to follow from it. */
export type Mistakes = Map<string, ConfigMistake>;

/** Reads every row. A wrong value is noted in `mistakes` and replaced by the default, so that reading can go on. */
export function readRows<R extends Rows>(rows: R, env: Env, mistakes: Mistakes): ValuesOf<R> {
  const values = Object.entries(rows).map(([setting, one]) => [
    setting,
    isRow(one) ? readRow(one, env, mistakes) : readRows(one, env, mistakes),
  ]);
  return Object.fromEntries(values);
}

/** A blank variable counts as unset. */
function readRow(row: Row, env: Env, mistakes: Mistakes): unknown {
  const given = [row.env, row.alias].find((name) => name !== undefined && env[name]?.trim());
  if (given !== undefined)
    try {
      return row.parse(env[given]?.trim() ?? "");
    } catch (error) {
      if (!(error instanceof ConfigMistake)) throw error;
      if (!mistakes.has(given)) mistakes.set(given, error);
    }
  return row.default === undefined ? undefined : row.parse(row.default);
}
