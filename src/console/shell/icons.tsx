/** Outlines on a grid of 16, drawn for this page. */
const PATHS = {
  logo: "M2.5 4.5 6 8l-3.5 3.5M8 11.5h5.5",
  inbox: "M2.5 9.5 4 3.5h8l1.5 6v3h-11zM2.5 9.5H6l1 1.5h2l1-1.5h3.5",
  new: "M8 3v10M3 8h10",
  project: "M2.5 4h4l1.5 1.5h5.5v7.5h-11zM5 8.5h6M5 10.5h4",
  usage: "M2.5 13.5h11M4 11V8M8 11V3M12 11V6",
  failed: "M8 2.5 14 13H2zM8 6.5v3M8 11.3v.2",
  system: "M2.5 3h11v4h-11zM2.5 9h11v4h-11zM5 5h.1M5 11h.1",
  user: "M8 8a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5zM3 13.5c.6-2.4 2.6-3.5 5-3.5s4.4 1.1 5 3.5",
  search: "M7 11.5a4.5 4.5 0 1 0 0-9 4.5 4.5 0 0 0 0 9zM10.5 10.5 14 14",
  archive: "M2.5 3h11v3h-11zM3.5 6v7h9V6M6.5 8.5h3",
  branch: "M5 4.5v7M5 8c4 0 6-.5 6-3M5 4.5a1 1 0 1 0 0-.1M5 12.5a1 1 0 1 0 0-.1M11 4.5a1 1 0 1 0 0-.1",
  back: "M9.5 3.5 5 8l4.5 4.5",
  chevron: "M6 3.5 10.5 8 6 12.5",
  check: "M3 8.5 6.5 12 13 4.5",
  file: "M4 2h5l3 3v9H4zM9 2v3h3",
  attach: "M12.5 7.5 8 12a2.8 2.8 0 0 1-4-4l5-5a1.9 1.9 0 0 1 2.7 2.7l-4.9 4.9a.9.9 0 0 1-1.3-1.3L10 4.8",
  comment: "M2.5 3h11v8H8l-3 2.5V11H2.5z",
  merge:
    "M4.5 4.5v7M4.5 5c1 3 3.5 4 6.5 4M4.5 4.5a1 1 0 1 0 0-.1M4.5 12.5a1 1 0 1 0 0-.1M11.5 9.5a1 1 0 1 0 0-.1",
  menu: "M3 4.5h10M3 8h10M3 11.5h10",
} as const;

export type IconName = keyof typeof PATHS;

/** A small picture beside its words; screen readers pass it over. */
export function Icon({ name }: { name: IconName }) {
  return (
    <svg className="icon" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}
