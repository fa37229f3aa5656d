/** Sets the newest entry of a map that keeps at most `size`: the oldest ones leave. */
export function setBounded<K, V>(map: Map<K, V>, key: K, value: V, size: number): void {
  map.delete(key);
  map.set(key, value);
  for (const oldest of map.keys()) {
    if (map.size <= size) break;
    map.delete(oldest);
  }
}
