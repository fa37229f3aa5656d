import { useEffect } from "react";

const PRODUCT = "prompt-backend";
let page = "";
let wanting = 0;

const show = () => {
  const name = page === "" ? PRODUCT : `${page} · ${PRODUCT}`;
  document.title = wanting > 0 ? `(${wanting}) ${name}` : name;
};

/** The title of the page that is shown. */
export function useTitle(title: string): void {
  useEffect(() => {
    page = title;
    show();
  }, [title]);
}

/** How many sessions want something: the title begins with it, so that a tab in the background shows it. */
export function setWanting(count: number): void {
  if (count === wanting) return;
  wanting = count;
  show();
}
