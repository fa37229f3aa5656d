import { untilLoaded } from "./later.ts";
import { describe } from "./problem.tsx";

/** Milliseconds for which a toast can be read; one with a button stays longer, one about an error until it is closed. */
const SHOWN_MS = 5_000;
const SHOWN_WITH_ACTION_MS = 12_000;

/** Loaded when it is first needed: a page opens without having said anything. */
const toasts = () => untilLoaded(() => import("./toasts.tsx"));

/** Tells that something was done, perhaps with a button that takes it back. Screen readers say it. */
export async function say(title: string, action?: { label: string; run: () => void }): Promise<void> {
  const { add, close } = await toasts();
  const id = add({
    title,
    timeout: action ? SHOWN_WITH_ACTION_MS : SHOWN_MS,
    ...(action && {
      actionProps: {
        children: action.label,
        onClick: () => {
          close(id);
          action.run();
        },
      },
    }),
  });
}

/** Tells that something failed. @param title what the user wanted, such as `The session was not archived`. */
export async function complain(title: string, error: unknown): Promise<void> {
  const { text, requestId } = describe(error);
  const description = requestId === undefined ? text : `${text} (request ${requestId})`;
  const { add } = await toasts();
  add({ title, description, type: "error", timeout: 0, priority: "high" });
}
