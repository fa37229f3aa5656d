import { closeSync } from "node:fs";

/** Beside stdio and those of ISOLATION_FDS. */
export const LIFELINE_FD = 5;

/**
 * Starts bubblewrap, and kills what it has made at the end of file of the lifeline: a socket whose other end this process
 * alone holds, so that the kernel closes it whenever and however this process ends.
 * bubblewrap's own --die-with-parent begins some milliseconds after its start, and inside, for the PID 1 of the namespace,
 * later still: what was killed before then left programs and their credentials behind for good. Killing bubblewrap would
 * have the same gap. So its child is killed, which is PID 1 of the namespace from its first instruction on: the namespace
 * dies with it, and bubblewrap ends by itself. It may not have made one yet: hence the loop, which ends with this shell.
 * Where the kernel does not tell children, or this shell is gone, bubblewrap is killed after all.
 * The text is a constant; its arguments are the program.
 */
const LIFELINE = `
watch() {
  read -r watcher _ </proc/self/stat
  read -r _ <&${LIFELINE_FD}
  while :; do
    ours=
    read -r ours <"/proc/$$/task/$$/children"
    case " $ours " in *" $watcher "*) ;; *) kill -KILL 0 ;; esac
    for one in $ours; do
      theirs=
      read -r theirs <"/proc/$one/task/$one/children"
      if [ -n "$theirs" ]; then kill -KILL $theirs; fi
    done
    sleep 0.01
  done
}
watch </dev/null >/dev/null 2>&1 &
watcher=$!
"$@" ${LIFELINE_FD}<&-
code=$?
# Some shells report whom they have killed.
exec 2>/dev/null
kill -KILL "$watcher"
exit "$code"
`;

/** Bubblewrap, to be started as the leader of a process group, with `LIFELINE_FD`. */
export const onLifeline = (argv: readonly string[]): string[] => [
  "/bin/sh",
  "-c",
  LIFELINE,
  "lifeline",
  ...argv,
];

/** @param fd this process's end of the lifeline. @returns cuts it, once. */
export function lifelineOf(fd: number): () => void {
  let whole = true;
  return () => {
    if (whole) closeSync(fd);
    whole = false;
  };
}
