/** Signals a program and what it started, as far as that stayed in its process group. */
export function signalGroup(leader: number, name: NodeJS.Signals): void {
  try {
    process.kill(-leader, name);
  } catch {
    // Nothing of it is left.
  }
}
