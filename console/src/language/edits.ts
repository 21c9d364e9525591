/** Change an expression by a click on a value. The text is the only state: every click is a change of the text. */

import { quoteName, quoteValue } from "./names";
import { type Conjunction, type Term, readConjunction } from "./terms";

/** Something that a click adds to an expression: a value of an attribute, a range, a segment or an event. */
export interface Operand {
  /** Text of the operand, as it is written alone. */
  readonly text: string;
  /** Attribute that it is about; an empty name is that of untyped tags, and null is none. */
  readonly attribute: string | null;
  /** Value of the attribute; null for what is no single value. */
  readonly value: string | null;
  /** Whether a device may have several values, so that two of them are joined by AND. */
  readonly isMultiple: boolean;
}

export type OperandState = "in" | "out" | "absent";

const UNTYPED = "tag"; // the service's name of the attribute of untyped tags

/** Return the operand of a value of *attribute*. */
export function valueOperand(attribute: string, value: string, isMultiple: boolean): Operand {
  const isTag = attribute === UNTYPED;
  const text = isTag ? quoteName(value) : `${quoteName(attribute)}:${quoteName(value)}`;
  return { text, attribute: isTag ? "" : attribute, value, isMultiple: isTag || isMultiple };
}

/** Return the operand of a range of *attribute*, which is written as *text*. */
export function rangeOperand(attribute: string, text: string): Operand {
  return { text, attribute, value: null, isMultiple: false };
}

/** Return the operand of a segment, an event or another condition. */
export function plainOperand(text: string): Operand {
  return { text, attribute: null, value: null, isMultiple: true };
}

/** Return whether *expr* selects *operand*, excludes it, or does neither, in one of its terms. */
export function findOperand(expr: string, operand: Operand): OperandState {
  const { terms, needsBrackets } = readConjunction(expr);
  if (needsBrackets) return "absent";
  const term = terms.find((candidate) => holds(candidate, operand, expr));
  return term ? (term.isNegated ? "out" : "in") : "absent";
}

/** Return *expr* with *operand*, or without it if it has it already. */
export function addOperand(expr: string, operand: Operand): string {
  const conjunction = readConjunction(expr);
  const own = conjunction.needsBrackets ? undefined : conjunction.terms.find((term) => holds(term, operand, expr));
  if (own) {
    const without = dropFromTerm(expr, conjunction, own, operand);
    return own.isNegated ? addOperand(without, operand) : without;
  }
  const sibling = operand.isMultiple || conjunction.needsBrackets ? undefined : findSibling(conjunction, operand);
  return sibling ? joinSibling(expr, sibling, operand) : appendTerm(expr, conjunction, operand.text);
}

/** Return *expr* with NOT *operand*, or without that if it has it already. */
export function excludeOperand(expr: string, operand: Operand): string {
  const conjunction = readConjunction(expr);
  const own = conjunction.needsBrackets ? undefined : conjunction.terms.find((term) => holds(term, operand, expr));
  if (!own) return appendTerm(expr, conjunction, `NOT ${operand.text}`);
  const without = dropFromTerm(expr, conjunction, own, operand);
  return own.isNegated ? without : appendTerm(without, readConjunction(without), `NOT ${operand.text}`);
}

/** Return *expr* with *operand* in place of all that it says about its attribute. */
export function keepOnlyOperand(expr: string, operand: Operand): string {
  const conjunction = readConjunction(expr);
  if (operand.attribute === null || conjunction.needsBrackets) return operand.text;
  const others = conjunction.terms.filter((term) => term.attribute !== operand.attribute);
  const kept = others.map((term) => expr.slice(term.start, term.end)).filter((text) => text.toLowerCase() !== "everyone");
  return [...kept, operand.text].join(" AND ");
}

/** Return *expr* without what it says about *attribute*, so that one sees what another value would select. */
export function dropAttribute(expr: string, attribute: string): string {
  const conjunction = readConjunction(expr);
  const name = attribute === UNTYPED ? null : attribute; // two tags are joined by AND, so they stay
  if (conjunction.needsBrackets || name === null) return expr;
  const kept = conjunction.terms.filter((term) => term.isNegated || term.attribute !== name);
  return kept.map((term) => expr.slice(term.start, term.end)).join(" AND ");
}

function holds(term: Term, operand: Operand, expr: string): boolean {
  if (operand.value !== null && term.attribute === operand.attribute) return term.values?.includes(operand.value) ?? false;
  return termText(term, expr) === operand.text;
}

function termText(term: Term, expr: string): string {
  const text = expr.slice(term.start, term.end);
  return term.isNegated ? text.replace(/^(?:not\b|!)\s*/i, "") : text;
}

function findSibling(conjunction: Conjunction, operand: Operand): Term | undefined {
  return conjunction.terms.find((term) => !term.isNegated && term.attribute !== null && term.attribute === operand.attribute);
}

/** Return *expr* with *operand* beside the values of its attribute: `province in (guangdong, hunan)`. */
function joinSibling(expr: string, sibling: Term, operand: Operand): string {
  const own = expr.slice(sibling.start, sibling.end);
  const joined =
    sibling.values && operand.value !== null
      ? formatList(operand.attribute ?? "", [...sibling.values, operand.value])
      : `(${own.replace(/^\((.*)\)$/s, "$1")} OR ${operand.text})`;
  return expr.slice(0, sibling.start) + joined + expr.slice(sibling.end);
}

function formatList(attribute: string, values: readonly string[]): string {
  const [only] = values;
  if (values.length === 1 && only !== undefined) return valueOperand(attribute || UNTYPED, only, false).text;
  return `${quoteName(attribute)} in (${values.map(quoteValue).join(", ")})`;
}

/** Return *expr* without *operand* in *term*, and without the term if it has nothing else. */
function dropFromTerm(expr: string, conjunction: Conjunction, term: Term, operand: Operand): string {
  const left = term.values?.filter((value) => value !== operand.value) ?? [];
  if (left.length && operand.value !== null) {
    const text = (term.isNegated ? "NOT " : "") + formatList(term.attribute ?? "", left);
    return expr.slice(0, term.start) + text + expr.slice(term.end);
  }
  const at = conjunction.terms.indexOf(term);
  const [before, after] = [conjunction.terms[at - 1], conjunction.terms[at + 1]];
  if (after) return expr.slice(0, term.start) + expr.slice(after.start);
  return before ? expr.slice(0, before.end) + expr.slice(term.end) : "";
}

function appendTerm(expr: string, conjunction: Conjunction, text: string): string {
  const [only] = conjunction.terms;
  const isEverybody = conjunction.terms.length === 1 && only && expr.slice(only.start, only.end).toLowerCase() === "everyone";
  if (!conjunction.terms.length || isEverybody) return text;
  const kept = expr.trimEnd() + (conjunction.endsInComment ? "\n" : "");
  if (conjunction.needsBrackets) return `(${kept}) AND ${text}`;
  return conjunction.endsInComment ? `${kept}AND ${text}` : `${kept} AND ${text}`;
}
