/**
 * A backup is a gzipped tar: HEAD first, what DATA_DIR had below DATA, MANIFEST last, so that a backup that was cut off
 * is known by its end.
 */
export const FORMAT = 1;
export const HEAD = "backup.json";
export const DATA = "data/";
export const MANIFEST = "manifest.json";

export interface Head {
  format: number;
  /** Of the prompt-backend that made it. */
  version: string;
  /** ISO 8601, UTC. */
  made_at: string;
  /** When the newest migration that its maker knows was written, milliseconds since 1970. */
  migration: number;
}

/** SHA-256 of each file, by its path in the archive. */
export type Manifest = { files: Record<string, string> };
