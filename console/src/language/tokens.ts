/** Split an expression into tokens as its grammar does, for colours and for changes by click. It never fails. */

export type TokenKind =
  | "keyword"
  | "operator"
  | "attribute"
  | "name"
  | "number"
  | "string"
  | "segment"
  | "function"
  | "bracket"
  | "punctuation"
  | "comment"
  | "invalid";

export interface Token {
  readonly kind: TokenKind;
  readonly text: string;
  readonly start: number;
  readonly end: number;
}

const TOKENS =
  /(?<comment>(?<!\S)#[^\n]*)|(?<string>"(?:\\.|[^"\\])*"?)|(?<segment>@(?:"(?:\\.|[^"\\])*"|[\p{L}\p{M}\p{N}_.@+/%-]+))|(?<name>[\p{L}\p{M}\p{N}_.@+/%*?-]+)|(?<operator>&&?|\|\|?|<=|>=|==|!=|!|<|>|=)|(?<bracket>[()])|(?<punctuation>[,:])|(?<space>\s+)|(?<invalid>.)/gsu;
const RESERVED = new Set(["and", "or", "not", "in", "within", "everyone", "nobody"]);
const AFTER_OPERAND = new Set(
  "between from to before after on matches contains starts ends ignoring exists is except limit seed top bottom by of ago where times time minute minutes min mins hour hours h hr hrs day days d week weeks w month months year years y".split(" "),
);
const AFTER_WORD: Readonly<Record<string, readonly string[]>> = {
  is: ["null"],
  ignoring: ["case"],
  within: ["next"],
  starts: ["with"],
  ends: ["with"],
};
const AMOUNT_WORDS: Readonly<Record<string, readonly string[]>> = { at: ["least", "most"] };
const OPERANDS: ReadonlySet<TokenKind> = new Set(["name", "number", "string", "segment", "attribute"]);
const BEFORE_VALUE = /^(?::|=|==|!=|<|>|<=|>=)$/;
const CONDITIONS = new Set(
  "in not between from before after on within matches contains starts ends exists is".split(" "),
);

/** Return the tokens of *text*, without the white space between them. */
export function tokenize(text: string): Token[] {
  const tokens: Token[] = [];
  for (const match of text.matchAll(TOKENS)) {
    const kind = Object.entries(match.groups ?? {}).find(([, part]) => part !== undefined)?.[0];
    if (kind === undefined || kind === "space") continue;
    tokens.push({ kind: kind as TokenKind, text: match[0], start: match.index, end: match.index + match[0].length });
  }
  return markKeywords(tokens);
}

/** Return *tokens* with the kinds that depend on what is beside a word. */
function markKeywords(tokens: readonly Token[]): Token[] {
  const marked: Token[] = [];
  const solid = tokens.filter((token) => token.kind !== "comment");
  const kinds = new Map<Token, TokenKind>();
  for (const [at, token] of solid.entries()) {
    const isNegated = solid[at - 1]?.text.toLowerCase() === "not"; // `age not between` goes on like `age between`
    const before = isNegated && continuesCondition(solid[at - 2], kinds) ? solid[at - 2] : solid[at - 1];
    kinds.set(token, classify(token, before, solid[at + 1], kinds));
  }
  for (const token of tokens) marked.push({ ...token, kind: kinds.get(token) ?? token.kind });
  return marked;
}

/** Return whether a NOT behind *token* belongs to a condition: `age not between`, `email is not null`. */
function continuesCondition(token: Token | undefined, kinds: Map<Token, TokenKind>): boolean {
  const kind = token && kinds.get(token);
  return kind !== undefined && (OPERANDS.has(kind) || token?.text === ")" || token?.text.toLowerCase() === "is");
}

function classify(token: Token, before: Token | undefined, after: Token | undefined, kinds: Map<Token, TokenKind>): TokenKind {
  if (token.kind !== "name" && token.kind !== "string") return token.kind;
  const word = token.text.toLowerCase();
  const previous = before?.text.toLowerCase() ?? "";
  const kindBefore = before && kinds.get(before);
  if (token.kind === "name") {
    if (RESERVED.has(word)) return "keyword";
    const followsOperand = kindBefore !== undefined && (OPERANDS.has(kindBefore) || previous === ")" || isWordOperand(previous, kindBefore));
    if (followsOperand && AFTER_OPERAND.has(word)) return "keyword";
    if (kindBefore === "keyword" && AFTER_WORD[previous]?.includes(word)) return "keyword";
    if (!followsOperand && AMOUNT_WORDS[word]?.includes(after?.text.toLowerCase() ?? "")) return "keyword";
    if (kindBefore === "keyword" && AMOUNT_WORDS[previous]?.includes(word)) return "keyword";
    if (word === "exactly" && /^\d+$/.test(after?.text ?? "")) return "keyword";
    if (after?.text === "(") return "function";
    if (/^\d+(?:\.\d+)?%?$/.test(word)) return "number";
  }
  if (after && (BEFORE_VALUE.test(after.text) || (CONDITIONS.has(after.text.toLowerCase()) && after.kind === "name"))) return "attribute";
  return token.kind;
}

/** Return whether a keyword ends an operand, as in `2 days ago AND`. */
function isWordOperand(word: string, kind: TokenKind): boolean {
  return kind === "keyword" && /^(?:everyone|nobody|ago|exists|null|case|times?|days?|d|weeks?|w|hours?|h|months?|years?|y|minutes?|mins?)$/.test(word);
}
