import { askEarly, wasSignedIn } from "./early.ts";

/** main.tsx imports this file before the others: the answers come while those are evaluated. */
export const early = askEarly((...request) => fetch(...request));
early.begin(wasSignedIn());
