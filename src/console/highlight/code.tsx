import { Fragment, memo, useEffect, useState } from "react";
import { highlight } from "./highlighter.ts";
import type { Token } from "./tokens.ts";

/** The tokens of code once they are known; undefined until then, or where it stays plain. */
export function useHighlight(text: string, language: string | undefined): Token[][] | undefined {
  const [found, setFound] = useState<{ text: string; lines: Token[][] | undefined }>();
  useEffect(() => {
    let wanted = true;
    void highlight(text, language).then((lines) => {
      if (wanted && lines) setFound({ text, lines });
    });
    return () => {
      wanted = false;
    };
  }, [text, language]);
  return found?.text === text ? found.lines : undefined;
}

/** One line of code. */
export const CodeLine = memo(function CodeLine({ tokens }: { tokens: readonly Token[] }) {
  return tokens.map(([text, kind], index) => (
    // biome-ignore lint/suspicious/noArrayIndexKey: the tokens of a line never move.
    <span key={index} className={kind && `token-${kind}`}>
      {text}
    </span>
  ));
});

/** Code in its colours, which come a moment after the text. */
export const Code = memo(function Code({ text, language }: { text: string; language: string | undefined }) {
  const lines = useHighlight(text, language);
  return (
    <code>
      {lines
        ? lines.map((tokens, index) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: the lines of a text never move.
            <Fragment key={index}>
              {index > 0 && "\n"}
              <CodeLine tokens={tokens} />
            </Fragment>
          ))
        : text}
    </code>
  );
});
