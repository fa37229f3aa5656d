import { join } from "node:path";
import type { Page } from "playwright-core";
import { openConsole } from "./console/fixture.ts";
import { openForgeConsole } from "./console/forge-fixture.ts";
import { seedMonth } from "./console/month-fixture.ts";

/**
 * `bun run screenshots`: makes the pictures of README.md again, in docs/images: the web console in real Chromium, on sessions
 * of an agent that follows a script and of a git host on loopback.
 */
const FOLDER = join(import.meta.dir, "../docs/images");
const ENDED = ["NeedsReview", "NeedsReviewIpReturned"];
const LIMIT_MS = 90_000;

const CART = `import type { Line } from "./lines.ts";

export function total(lines: Line[]): number {
  let sum = 0;
  for (const line of lines) sum += line.price * line.count;
  return sum;
}
`;
const FIXED = CART.replace(
  "  let sum = 0;\n  for (const line of lines) sum += line.price * line.count;\n  return sum;",
  "  // In cents: sums of fractions drift.\n  const cents = lines.map(({ price, count }) => Math.round(price * 100) * count);\n  return cents.reduce((sum, one) => sum + one, 0) / 100;",
);
const TEST = `import { expect, test } from "bun:test";
import { total } from "./cart.ts";

test("ten times 0.10 is 1", () => {
  expect(total([{ price: 0.1, count: 10 }])).toBe(1);
});
`;

const message = (role: string, ...content: object[]) =>
  JSON.stringify({ type: role, message: { role, content } });
const said = (text: string) => message("assistant", { type: "text", text });
const use = (id: string, name: string, input: object) =>
  message("assistant", { type: "tool_use", id, name, input });
const result = (id: string, content: string) =>
  message("user", { type: "tool_result", tool_use_id: id, content });
const STORY = [
  said("I'll look at how the total is computed, and whether a test shows the fault."),
  use("1", "Read", { file_path: "src/cart.ts" }),
  result("1", CART),
  said(
    "Prices are floating-point numbers, and `0.1 * 10` summed piece by piece drifts. I'll **compute in cents** and keep a test:",
  ),
  use("2", "Edit", { file_path: "src/cart.ts", old_string: CART, new_string: FIXED }),
  result("2", "The file src/cart.ts has been updated."),
  use("3", "Write", { file_path: "src/cart.test.ts", content: TEST }),
  result("3", "File created."),
  use("4", "Bash", { command: "bun test src/cart.test.ts", description: "Run the test of the cart" }),
  result("4", "src/cart.test.ts:\n(pass) ten times 0.10 is 1 [0.21ms]\n\n 1 pass\n 0 fail\n"),
  said("The total is exact now:\n\n- `total` sums whole cents\n- a test keeps it: ten times 0.10 is 1"),
  JSON.stringify({
    type: "result",
    subtype: "success",
    is_error: false,
    num_turns: 5,
    duration_ms: 41_200,
    total_cost_usd: 0.0832,
    usage: { input_tokens: 18_204, output_tokens: 1_306, cache_read_input_tokens: 52_110 },
  }),
];
/** It does the work of its story; some prompts it fails, or never ends. */
const AGENT = String.raw`
case "$(cat)" in
*invoice*) printf '%s\n' '${said("I'll add the export next to the report.").replaceAll("'", "'\\''")}'; sleep 600 ;;
*upgrade*) echo "npm error code E404" >&2; exit 3 ;;
esac
cat > src/cart.ts <<'CART'
${FIXED}CART
cat > src/cart.test.ts <<'TEST'
${TEST}TEST
cat <<'STORY'
${STORY.join("\n")}
STORY`;

await using forge = await openForgeConsole({
  ...{ agent: AGENT, path: "acme/shop" },
  files: { "README.md": "# Shop\n", "src/cart.ts": CART },
  env: { WORKER_CONCURRENCY: "1" },
});
const { on, host, gitea } = forge;
const submit = async (text: string) => (await on.backend.submit(host.repo, text)).sessionId;

const work = [
  "Make the search tolerate typos",
  "Say what is wrong when a voucher has expired",
  "The cart's total is wrong by a cent: find out why, and keep a test",
];
const done: string[] = [];
for (const text of work) {
  const id = await submit(text);
  await on.backend.waitForStatus(id, ENDED, LIMIT_MS);
  done.push(id);
}
await on.backend.waitForStatus(await submit("Try the upgrade to the next major version"), ENDED, LIMIT_MS);
await submit("Export invoices as CSV");
await submit("Speed up the checkout page");
await host.showBranches(gitea.branches);
const [, , session] = done;
if (session === undefined) throw new Error("no session has ended");

const { head } = (await on.backend.request("GET", `/sessions/${session}/diff`)).body;
await on.backend.request("POST", `/sessions/${session}/comments`, {
  ...{ path: "src/cart.ts", commit: head, side: "new", line: 6 },
  text: "Please name what the 100 is.",
});

const shoot = async (name: string, page: Page) => {
  // What comes a moment later: the user's menu, and the colours of code.
  await page.getByRole("button", { name: "local" }).waitFor();
  if (["session", "review", "phone"].includes(name)) await page.locator(".token-keyword").first().waitFor();
  await page.screenshot({ path: join(FOLDER, `${name}.png`) });
  await page.close();
};

const inbox = await on.open("/");
await inbox.getByText("Speed up the checkout page").waitFor();
await inbox.getByText("Running", { exact: true }).first().waitFor();
await shoot("inbox", inbox);

const conversation = await on.open(`/s/${session}`);
await conversation.getByText("a test keeps it").waitFor();
await conversation.getByText("+9").waitFor();
await shoot("session", conversation);

const review = await on.open(`/s/${session}/review`);
await review.emulateMedia({ colorScheme: "dark" });
await review.getByText("Please name what the 100 is.").first().waitFor();
await review.getByRole("link", { name: "Show only its changes" }).waitFor();
await shoot("review", review);

const phone = await on.open(`/s/${session}/review`, { phone: true });
await phone.getByText("Math.round").first().waitFor();
await shoot("phone", phone);

await using month = await openConsole({
  seed: seedMonth,
  env: {
    BUDGET_USD_PER_USER_DAY: "20",
    BUDGET_USD_PER_USER_MONTH: "400",
    BUDGET_USD_PER_DEPLOYMENT_DAY: "100",
  },
});
const usage = await month.open("/u");
await usage.getByText("acme/docs").waitFor();
await shoot("usage", usage);
const complaints = [...on.complaints, ...month.complaints];
if (complaints.length > 0) throw new Error(complaints.join("\n"));
process.exit();
