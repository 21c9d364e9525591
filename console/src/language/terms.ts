/** Read the terms of an expression that are joined by AND, as far as a click has to know them. */

import { unquote } from "./names";
import { type Token, tokenize } from "./tokens";

export interface Term {
  readonly start: number;
  readonly end: number;
  readonly isNegated: boolean;
  /** Attribute that the term is about; an empty name is that of untyped tags. Null if it is about something else. */
  readonly attribute: string | null;
  /** Values that it lists; null if it does not list values, as `age < 30`. */
  readonly values: readonly string[] | null;
}

export interface Conjunction {
  /** Terms of an expression that joins all of them by AND; one term if it does something else. */
  readonly terms: readonly Term[];
  /** Whether the expression needs brackets before it can be joined by AND. */
  readonly needsBrackets: boolean;
  /** Whether a comment would hide what is written behind it. */
  readonly endsInComment: boolean;
}

const JOINS_OTHERWISE = /^(?:or|\|\|?|except|limit|top|bottom)$/i;
const AND = /^(?:and|&&?)$/i;
const NOT = /^(?:not|!)$/i;

let lastRead: { readonly text: string; readonly conjunction: Conjunction } | undefined;

/** Return the terms of *text*. The last answer is kept, for every button of the page asks about the same text. */
export function readConjunction(text: string): Conjunction {
  if (lastRead?.text !== text) lastRead = { text, conjunction: parseConjunction(text) };
  return lastRead.conjunction;
}

function parseConjunction(text: string): Conjunction {
  const all = tokenize(text);
  const tokens = all.filter((token) => token.kind !== "comment");
  const endsInComment = all.at(-1)?.kind === "comment";
  const parts = splitAtDepthZero(tokens);
  const needsBrackets = parts === null;
  const groups = parts ?? (tokens.length ? [tokens] : []);
  const terms = groups.filter((group) => group.length).map((group) => (needsBrackets ? opaqueTerm(group) : readTerm(group)));
  return { terms, needsBrackets, endsInComment };
}

/** Return the tokens between the ANDs that are in no bracket; null if something else joins there. */
function splitAtDepthZero(tokens: readonly Token[]): Token[][] | null {
  const groups: Token[][] = [[]];
  let depth = 0;
  let isRange = false; // the AND of `between 18 and 25` joins no terms
  for (const token of tokens) {
    if (token.text === "(") depth++;
    if (token.text === ")") depth--;
    if (depth === 0 && isWord(token)) {
      if (JOINS_OTHERWISE.test(token.text)) return null;
      if (AND.test(token.text) && !isRange) {
        groups.push([]);
        continue;
      }
      if (AND.test(token.text)) isRange = false;
      if (token.kind === "keyword" && token.text.toLowerCase() === "between") isRange = true;
    }
    groups.at(-1)?.push(token);
  }
  return groups;
}

function isWord(token: Token): boolean {
  return token.kind === "keyword" || token.kind === "operator";
}

function opaqueTerm(tokens: readonly Token[]): Term {
  return { start: tokens[0]?.start ?? 0, end: tokens.at(-1)?.end ?? 0, isNegated: false, attribute: null, values: null };
}

function readTerm(tokens: readonly Token[]): Term {
  const isNegated = isWord(tokens[0] as Token) && NOT.test(tokens[0]?.text ?? "");
  const positive = isNegated ? tokens.slice(1) : tokens;
  return { ...opaqueTerm(tokens), isNegated, ...readValues(positive) };
}

/** Return the attribute and the values of `male`, `province:hunan`, `age = 30` and `province in (hunan, henan)`. */
function readValues(tokens: readonly Token[]): Pick<Term, "attribute" | "values"> {
  const [first, second, third] = tokens;
  if (!first || !isName(first)) return readBracketed(tokens);
  const name = unquote(first.text);
  if (tokens.length === 1) return { attribute: "", values: [name] };
  if (tokens.length === 3 && third && isName(third) && /^(?::|==?)$/.test(second?.text ?? "")) {
    return { attribute: name, values: [unquote(third.text)] };
  }
  if (second?.text.toLowerCase() === "in" && third?.text === "(" && tokens.at(-1)?.text === ")") {
    const listed = tokens.slice(3, -1).filter((token) => token.text !== ",");
    return { attribute: name, values: listed.every(isName) ? listed.map((token) => unquote(token.text)) : null };
  }
  return { attribute: first.kind === "attribute" ? name : null, values: null };
}

/** Return the attribute of `18 <= age < 25`, and of such ranges in brackets. */
function readBracketed(tokens: readonly Token[]): Pick<Term, "attribute" | "values"> {
  const attributes = new Set(tokens.filter((token) => token.kind === "attribute").map((token) => unquote(token.text)));
  const isOne = attributes.size === 1 && tokens.every((token) => token.kind !== "function" && token.kind !== "segment");
  return { attribute: isOne ? ([...attributes][0] ?? null) : null, values: null };
}

function isName(token: Token): boolean {
  return token.kind === "name" || token.kind === "string" || token.kind === "number" || token.kind === "attribute";
}
