import type { Page } from "playwright-core";
import { until } from "../harness/until.ts";

/** Most stops on the way to a control: who must press more often has not reached it. */
const MOST_STOPS = 60;
type Role = Parameters<Page["getByRole"]>[0];

/** What is wrong with where the focus is; empty when all is well. */
const LOOK = `(() => {
  const at = document.activeElement;
  if (!at || at === document.body) return "nothing has the focus";
  const what = at.tagName + " “" + (at.getAttribute("aria-label") ?? at.textContent ?? "").trim().slice(0, 40) + "”";
  const shows = ({ outlineStyle, outlineWidth, boxShadow, content }, isPart) =>
    (!isPart || content !== "none") && ((outlineStyle !== "none" && outlineWidth !== "0px") || boxShadow !== "none");
  if (![undefined, "::before", "::after"].some((part) => shows(getComputedStyle(at, part), part !== undefined)))
    return what + " does not show that it has the focus";
  const box = at.getBoundingClientRect();
  const [left, right] = [Math.max(box.left, 0), Math.min(box.right, innerWidth)];
  const [top, bottom] = [Math.max(box.top, 0), Math.min(box.bottom, innerHeight)];
  if (right <= left || bottom <= top) return what + " has the focus, outside of the window";
  const seen = [0.1, 0.5, 0.9].some((x) => [0.1, 0.5, 0.9].some((y) => {
    const over = document.elementFromPoint(left + (right - left) * x, top + (bottom - top) * y);
    return over !== null && (at.contains(over) || over.closest("label")?.control === at);
  }));
  return seen ? "" : what + " has the focus, and something covers it";
})()`;

/** Someone who has no mouse. After each step the focus is somewhere, and can be seen. */
export function keyboardOf(page: Page) {
  const problem = () => page.evaluate<string>(LOOK);
  /** @param what was done, for the error. */
  const look = async (what: string): Promise<void> => {
    let last = "";
    const ok = async () => {
      last = await problem();
      return last === "";
    };
    await until(ok, { what: `a focus that is seen`, timeoutMs: 3_000 }).catch(() => {
      throw new Error(`After ${what}: ${last}`);
    });
  };
  const isAt = async (role: Role, name: string | RegExp) =>
    (await page.locator(":focus").and(page.getByRole(role, { name })).count()) > 0;

  const keyboard = {
    look,
    async press(...keys: string[]): Promise<void> {
      for (const key of keys) {
        await page.keyboard.press(key);
        await look(key);
      }
    },
    async type(text: string): Promise<void> {
      await page.keyboard.type(text);
      await look(`typing “${text}”`);
    },
    /** Waits until the focus is at a control. */
    async at(role: Role, name: string | RegExp): Promise<void> {
      const there = async () => (await isAt(role, name)) || undefined;
      await until(there, { what: `the focus at the ${role} ${name}` }).catch(async () => {
        throw new Error(
          `The focus is not at the ${role} ${name}, but at ${await page.evaluate<string>(STOP)}`,
        );
      });
      await look(`reaching the ${role} ${name}`);
    },
    /** Goes to a control by Tab alone; at each stop the focus is seen. */
    async tabTo(role: Role, name: string | RegExp, way: "Tab" | "Shift+Tab" = "Tab"): Promise<void> {
      await page.getByRole(role, { name }).first().waitFor();
      const stops: string[] = [];
      while (stops.length < MOST_STOPS) {
        if (await isAt(role, name)) return look(`reaching the ${role} ${name}`);
        await page.keyboard.press(way);
        const [found, stop] = await Promise.all([problem(), page.evaluate<string>(STOP)]);
        stops.push(stop);
        // Behind its last stop a window begins anew.
        if (found !== "" && stop !== "BODY") await look(`${way} to ${stop}`);
      }
      throw new Error(`${way} does not lead to the ${role} ${name}, but to: ${stops.join(", ")}`);
    },
    /** Goes to a control, and presses it. */
    async use(role: Role, name: string | RegExp, key = "Enter"): Promise<void> {
      await keyboard.tabTo(role, name);
      await page.keyboard.press(key);
      await look(`${key} on the ${role} ${name}`);
    },
  };
  return keyboard;
}

const STOP = `(() => {
  const at = document.activeElement;
  if (at === document.body) return "BODY";
  return (at.tagName + " " + (at.getAttribute("aria-label") ?? at.textContent ?? "").trim().slice(0, 30)).trim();
})()`;
