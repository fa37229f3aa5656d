/** What a piece of code is. Each has a colour in highlight.css; everything else is plain. */
export type TokenKind =
  | "keyword"
  | "string"
  | "number"
  | "comment"
  | "title"
  | "type"
  | "attr"
  | "meta"
  | "addition"
  | "deletion";

/** A piece of a line of code; without a kind it is plain. */
export type Token = readonly [text: string, kind?: TokenKind];

/** Asked of the worker. */
export interface HighlightRequest {
  id: number;
  text: string;
  language: string;
}
/** Its reply: the tokens of each line. */
export interface HighlightReply {
  id: number;
  lines: Token[][];
}
