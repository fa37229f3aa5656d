import { askEarly } from "./early.ts";

/** What begin.ts asks for, and api.ts answers with. */
export const early = askEarly((...request) => fetch(...request));
