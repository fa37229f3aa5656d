import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/** How many inotify watches this process has. */
export function inotifyWatches(): number {
  return readdirSync("/proc/self/fd")
    .filter((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`).includes("inotify");
      } catch {
        return false; // The listing's own descriptor.
      }
    })
    .map((fd) => readFileSync(`/proc/self/fdinfo/${fd}`, "utf8").match(/^inotify wd:/gm)?.length ?? 0)
    .reduce((sum, one) => sum + one, 0);
}
