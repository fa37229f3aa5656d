import type { Stats } from "node:fs";

/**
 * Largest folder that is listed, bytes: some thousand names, or 8,000 of the shortest. On ext4, tmpfs, XFS and Btrfs a
 * folder's size grows with its names; on ZFS it is their number.
 */
const MAX_BYTES = 128 * 1024;

/**
 * Whether a folder where a program that is not trusted can write has few enough entries to be listed. `readdir` and Bun's
 * `opendir` (1.4.5) read all of them before they return the first: 655,360 hold up this process for seconds.
 */
export const isListable = (folder: Pick<Stats, "size">): boolean => folder.size <= MAX_BYTES;
