import { useCallback, useRef, useState } from "react";
import { keep, kept } from "./storage.ts";

/** State that this browser keeps, also over a reload. Its tabs do not share it while they are open. */
export function useStored<Value>(
  key: string,
  initial: Value,
): [value: Value, change: (next: (now: Value) => Value) => void] {
  const [value, setValue] = useState<Value>(() => read(key) ?? initial);
  const latest = useRef(value);
  const change = useCallback(
    (next: (now: Value) => Value) => {
      latest.current = next(latest.current);
      setValue(latest.current);
      // Not in an effect, which comes later: the page may be gone by then.
      keep(key, latest.current === initial ? undefined : JSON.stringify(latest.current));
    },
    [key, initial],
  );
  return [value, change];
}

function read<Value>(key: string): Value | undefined {
  try {
    return JSON.parse(kept(key) ?? "") as Value;
  } catch {
    return undefined;
  }
}
