import { early } from "./asked.ts";
import { wasSignedIn } from "./early.ts";

/** The page's first script, and a small one: the answers are on their way while the other is compiled and evaluated. */
early.begin(wasSignedIn());
void import("./main.tsx");
