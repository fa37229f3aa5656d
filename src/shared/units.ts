export const MIB = 1024 ** 2;

/** For sentences. */
export const inMiB = (bytes: number): string => `${Math.round(bytes / MIB)} MiB`;
