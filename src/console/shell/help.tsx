import { Dialog } from "../ui/dialog.tsx";

const KEYS: readonly [group: string, keys: readonly [key: string, does: string][]][] = [
  [
    "Everywhere",
    [
      ["g i", "Inbox"],
      ["g p", "Projects"],
      ["g b", "Usage and budgets"],
      ["g f", "Dead letters"],
      ["g s", "System"],
      ["n", "New session"],
      ["?", "These keys"],
      ["Esc", "Close, or leave a field"],
    ],
  ],
  [
    "Inbox",
    [
      ["j / k", "Next or previous session"],
      ["Enter", "Open it"],
      ["/", "Search"],
      ["e", "Archive it"],
      ["u", "Mark it read or unread"],
    ],
  ],
  [
    "Session",
    [
      ["j / k", "Next or previous prompt"],
      ["r", "Write a follow-up"],
      ["v", "Review the changes"],
      ["Ctrl Enter", "Send, or queue as the next prompt"],
      ["Ctrl Shift Enter", "Send to the agent that works"],
      ["q", "Go to what waits for you: a budget, or what the agent asks; there y, a or n:"],
      ["y / a / n", "Allow, allow for this run, or deny"],
    ],
  ],
  [
    "Review",
    [
      ["j / k", "Next or previous file"],
      ["n / p", "Next or previous change"],
      ["↑ / ↓", "Next or previous line; with Shift, select several"],
      ["c", "Comment on the line, the selection or the file"],
      ["v", "Mark the file viewed"],
      ["x", "Side by side or unified"],
    ],
  ],
  ["Project", [["Ctrl Enter", "Save"]]],
  [
    "Dead letters",
    [
      ["j / k", "Next or previous dead letter"],
      ["Enter", "Open or close it"],
      ["x", "Select it"],
      ["r", "Retry it, or what is selected"],
      ["e", "Resolve it, or what is selected"],
      ["/", "Filter"],
    ],
  ],
];

/** All keys, by place. */
export default function Help({ onClose }: { onClose: () => void }) {
  return (
    <Dialog onClose={onClose} title="Keys">
      <div className="help">
        {KEYS.map(([group, keys]) => (
          <section key={group}>
            <h3>{group}</h3>
            <dl>
              {keys.map(([key, does]) => (
                <div key={key}>
                  <dt>
                    <kbd>{key}</kbd>
                  </dt>
                  <dd>{does}</dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
      </div>
    </Dialog>
  );
}
