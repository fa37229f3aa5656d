const EVERY_MS = 500;

/** One line that is overwritten on a terminal. In a file or pipe it is not shown, as only the result matters there. */
export function progressLine(out: { write(text: string): unknown; isTTY?: boolean }) {
  let shownAt = performance.now();
  let shown = false;
  return {
    show(text: string) {
      if (!out.isTTY || performance.now() - shownAt < EVERY_MS) return;
      shownAt = performance.now();
      shown = true;
      out.write(`\r\u001b[K${text}`);
    },
    end() {
      if (shown) out.write("\r\u001b[K");
    },
  };
}

/** Bytes in a readable unit. */
export function size(bytes: number): string {
  const [kib, mib] = [bytes / 1024, bytes / 1024 ** 2];
  if (mib >= 1024) return `${(mib / 1024).toFixed(1)} GiB`;
  return mib >= 1 ? `${mib.toFixed(1)} MiB` : `${kib.toFixed(1)} KiB`;
}
