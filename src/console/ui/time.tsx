import { useSyncExternalStore } from "react";

const TICK_MS = 15_000;
const UNITS: readonly [Intl.RelativeTimeFormatUnit, seconds: number][] = [
  ["year", 31_536_000],
  ["month", 2_592_000],
  ["week", 604_800],
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
];
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "short" });
const exactFormat = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

/** A time to the second. @param at ISO 8601. */
export const exact = (at: string): string => exactFormat.format(new Date(at));

/** How long ago a time was, for people. @param ms since the epoch. */
function ago(ms: number, now: number): string {
  const seconds = (ms - now) / 1000;
  for (const [unit, length] of UNITS)
    if (Math.abs(seconds) >= length) return relative.format(Math.trunc(seconds / length), unit);
  return "just now";
}

/** One timer for all times of the page. */
const listeners = new Set<() => void>();
let now = Date.now();
let timer: ReturnType<typeof setInterval> | undefined;
function tick(): void {
  now = Date.now();
  for (const one of listeners) one();
}
function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  if (timer === undefined) {
    timer = setInterval(tick, TICK_MS);
    // It has stood still since the last time went away.
    tick();
  }
  return () => {
    listeners.delete(listener);
    if (listeners.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
}

/** A relative time that stays right; the exact one is its title. @param at ISO 8601. */
export function Time({ at, className }: { at: string; className?: string }) {
  const current = useSyncExternalStore(subscribe, () => now);
  const ms = Date.parse(at);
  return (
    <time dateTime={at} title={exact(at)} className={className}>
      {ago(ms, Math.max(current, ms))}
    </time>
  );
}

/** `1 h 04 min`, `3 min 20 s`, `12 s`, `0.4 s`. */
export function duration(ms: number): string {
  const seconds = ms / 1000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${String(whole % 60).padStart(2, "0")} s`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}
