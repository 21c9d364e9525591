/** Join the expressions of audiences that devices are in, and of those that they are not in. */

import { readConjunction } from "../language/terms";

/** Return the expression of the devices in all of *included* and in none of *excluded*. */
export function joinExprs(included: readonly string[], excluded: readonly string[]): string {
  return [...included.map(bracketOr), ...excluded.map((expr) => `NOT ${bracketAll(expr)}`)].join(" AND ");
}

function bracketOr(expr: string): string {
  const { needsBrackets, endsInComment } = readConjunction(expr);
  return needsBrackets || endsInComment ? `(${expr}${endsInComment ? "\n" : ""})` : expr;
}

function bracketAll(expr: string): string {
  const { terms, needsBrackets, endsInComment } = readConjunction(expr);
  return needsBrackets || terms.length > 1 || endsInComment ? `(${expr}${endsInComment ? "\n" : ""})` : expr;
}
