/** Convert positions: the service counts characters, and JavaScript counts UTF-16 units. */

import type { Span } from "../server/forms";

/** Return the position in UTF-16 units of the character *position* of *text*. */
export function toUnits(text: string, position: number): number {
  let units = 0;
  let left = position;
  while (left-- > 0 && units < text.length) units += (text.codePointAt(units) ?? 0) > 0xffff ? 2 : 1;
  return units;
}

/** Return how many characters are before the UTF-16 unit *units* of *text*. */
export function toCharacters(text: string, units: number): number {
  return [...text.slice(0, units)].length;
}

/** Return a span of *text* in UTF-16 units. */
export function toUnitSpan(text: string, span: Span): { from: number; to: number } {
  return { from: toUnits(text, span.start), to: toUnits(text, span.end) };
}
