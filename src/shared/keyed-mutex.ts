export type Exclusively = <T>(name: string, work: () => Promise<T>) => Promise<T>;

/** Runs work of one name one at a time, in order. */
export function createExclusively(): Exclusively {
  const tails = new Map<string, Promise<unknown>>();
  return (name, work) => {
    const result = (tails.get(name) ?? Promise.resolve()).then(work, work);
    const tail: Promise<void> = result.then(
      () => forget(),
      () => forget(),
    );
    const forget = () => {
      if (tails.get(name) === tail) tails.delete(name);
    };
    tails.set(name, tail);
    return result;
  };
}
