/** Longest title that GitLab and Gitea take, characters. */
const TITLE_LENGTH = 255;

/**
 * A title for a host on which drafts are what is named so, shortened to what the host takes.
 * @param mark what begins the title of a draft. @param marked whether a title is a draft's already.
 */
export function draftTitle(
  title: string,
  { draft, mark, marked }: { draft: boolean; mark: string; marked: RegExp },
): string {
  const whole = draft && !marked.test(title) ? `${mark}${title}` : title;
  // By code points: half of one is refused.
  const points = [...whole];
  return points.length <= TITLE_LENGTH ? whole : `${points.slice(0, TITLE_LENGTH - 1).join("")}…`;
}
