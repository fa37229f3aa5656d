/**
 * A backup is a gzipped tar archive: HEAD first, the contents of DATA_DIR below DATA, MANIFEST last, so that a truncated
 * backup is recognized by its missing end.
 */
export const FORMAT = 1;
export const HEAD = "backup.json";
export const DATA = "data/";
export const MANIFEST = "manifest.json";

export interface Head {
  format: number;
  /** The version of prompt-backend that made it. */
  version: string;
  /** ISO 8601, UTC. */
  made_at: string;
  /** The newest migration known to that version: when it was written, milliseconds since 1970. */
  migration: number;
}

/** The SHA-256 of each file, by path in the archive. */
export type Manifest = { files: Record<string, string> };
