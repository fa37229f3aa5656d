import { useCallback, useRef, useState } from "react";

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
      keep(key, latest.current === initial ? undefined : latest.current);
    },
    [key, initial],
  );
  return [value, change];
}

function keep(key: string, value: unknown): void {
  try {
    if (value === undefined) localStorage.removeItem(key);
    else localStorage.setItem(key, JSON.stringify(value));
  } catch {
    // There is no more room: then it lasts as long as the page.
  }
}

function read<Value>(key: string): Value | undefined {
  try {
    return JSON.parse(localStorage.getItem(key) ?? "") as Value;
  } catch {
    return undefined;
  }
}
