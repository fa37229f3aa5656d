import { useCallback, useEffect, useState } from "react";

/** State that this browser keeps, also over a reload. Its tabs do not share it while they are open. */
export function useStored<Value>(
  key: string,
  initial: Value,
): [value: Value, change: (next: (now: Value) => Value) => void] {
  const [value, setValue] = useState<Value>(() => read(key) ?? initial);
  useEffect(() => {
    try {
      if (value === initial) localStorage.removeItem(key);
      else localStorage.setItem(key, JSON.stringify(value));
    } catch {
      // There is no more room: then it lasts as long as the page.
    }
  }, [key, value, initial]);
  return [value, useCallback((next) => setValue(next), [])];
}

function read<Value>(key: string): Value | undefined {
  try {
    return JSON.parse(localStorage.getItem(key) ?? "") as Value;
  } catch {
    return undefined;
  }
}
