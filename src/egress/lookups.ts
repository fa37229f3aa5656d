import type { Resolve } from "./addresses.ts";

/** Names of one gateway that are looked up at a time. A program waits for few; each occupies the machine's resolver. */
const MAX_LOOKUPS = 32;

/** So many names wait for an answer that this one is not even asked for. */
export class TooManyLookups extends Error {
  override readonly name = "TooManyLookups";
}

/**
 * Bounds the lookups in flight. Those of one name share one, so that a program may open many connections to a host at once;
 * nothing is kept once it is answered.
 * @throws TooManyLookups beyond `max` names.
 */
export function limitLookups(resolve: Resolve, max = MAX_LOOKUPS): Resolve {
  const inFlight = new Map<string, Promise<readonly string[]>>();
  return async (name) => {
    const known = inFlight.get(name);
    if (known) return known;
    if (inFlight.size >= max) throw new TooManyLookups(`${max} names are being looked up`);
    const lookup = resolve(name).finally(() => inFlight.delete(name));
    inFlight.set(name, lookup);
    return lookup;
  };
}
