export const MIB = 1024 ** 2;
