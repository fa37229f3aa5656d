import { askEarly } from "./early.ts";

/** main.tsx imports this file before the others. */
export const early = askEarly((...request) => fetch(...request));
void early.begin();
