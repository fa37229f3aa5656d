import type { Locator, Page } from "playwright-core";
import { type ForgeConsole, openForgeConsole } from "./forge-fixture.ts";

export const TIMEOUT_MS = 120_000;
export const LINES = 5_000;
const APP = Array.from({ length: 60 }, (_, index) => `export const value${index + 1} = ${index + 1};`);
/** What is told to do everything makes what a reviewer should not have to fear; the others change two lines. */
const AGENT = String.raw`
case "$(cat)" in
*everything*)
  seq 1 ${LINES} | sed 's/.*/export const entry& = compute(&);/' > src/big.ts
  printf 'alert(1)\n' > 'src/<img src=x onerror=alert(1)>.html'
  printf 'const a = "\342\200\256 hidden";\n' > "$(printf 'src/\342\200\256gnp.ts')"
  printf '<svg xmlns="http://www.w3.org/2000/svg" width="40" height="40" onload="alert(2)"><script>alert(3)</script></svg>' > evil.svg
  head -c 300000 /dev/zero | tr '\0' 'a' > long.js
  : > empty.txt
  seq 1 120000 > numbers.txt
  chmod +x README.md
  git mv src/old.ts src/moved.ts
  rm gone.txt
  ;;
*)
  sed -i 's/value20 = 20/value20 = 2000/; s/value40 = 40/value40 = 4000/' src/app.ts
  ;;
esac
echo done`;

/** A console with a forge, whose agent changes what there is to review. */
export async function openReviews() {
  const forge: ForgeConsole = await openForgeConsole({
    files: {
      "README.md": "# Test\n",
      "src/app.ts": `${APP.join("\n")}\n`,
      "src/old.ts": "export const old = 1;\nexport const older = 2;\n",
      "gone.txt": "gone\n",
    },
    agent: AGENT,
  });
  const { on, host, gitea } = forge;
  return {
    ...{ on, host, gitea },
    /** A session whose first prompt has ended. */
    async reviewable(text: string): Promise<string> {
      const { sessionId } = await on.backend.submit(host.repo, text);
      await on.backend.waitForStatus(sessionId, ["NeedsReview", "NeedsReviewIpReturned"], TIMEOUT_MS);
      await host.showBranches(gitea.branches);
      return sessionId;
    },
    async open(id: string, more = "") {
      const page = await on.open(`/s/${id}/review${more}`);
      await page.getByRole("region", { name: "Changes" }).getByRole("heading").first().waitFor();
      return page;
    },
    prompts: async (id: string) => (await on.backend.request("GET", `/sessions/${id}/prompts`)).body.prompts,
    [Symbol.asyncDispose]: () => forge[Symbol.asyncDispose](),
  };
}

export type Reviews = Awaited<ReturnType<typeof openReviews>>;

/** Waits until the keyboard is at what has this name. */
export async function focused(page: Page, name: string): Promise<void> {
  const button: Locator = page.locator(":focus").and(page.getByRole("button", { name }));
  await button.waitFor();
}
