import { useMutation } from "@tanstack/react-query";
import { client } from "../api.ts";
import { Button } from "../ui/button.tsx";
import { complain } from "../ui/notify.ts";
import type { Group } from "./address.ts";
import type { Period } from "./queries.ts";

/** Saves what is shown as a table. */
export function CsvButton({ wanted, what }: { wanted: Period & { group_by: Group | "day" }; what: string }) {
  const download = useMutation({
    mutationFn: () => client.usage.csv(wanted),
    onSuccess: (text) => saveAs(`usage-by-${wanted.group_by}-${wanted.from}-${wanted.to}.csv`, text),
    onError: (error) => void complain("The table was not downloaded", error),
  });
  return (
    <Button
      look="quiet"
      busy={download.isPending}
      aria-label={`Download CSV ${what}`}
      onClick={() => download.mutate()}
    >
      CSV
    </Button>
  );
}

function saveAs(name: string, text: string): void {
  const href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  const link = Object.assign(document.createElement("a"), { href, download: name });
  link.click();
  // The browser has taken it by then.
  setTimeout(() => URL.revokeObjectURL(href), 10_000);
}
