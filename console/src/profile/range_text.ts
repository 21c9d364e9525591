/** Write the ranges of a histogram in the language of the page. The service writes them in English. */

import { type LabelName, formatDay, label } from "../labels/label";

const RANGES: readonly (readonly [RegExp, LabelName])[] = [
  [/^before (.+)$/, "range.before"],
  [/^below (.+)$/, "range.below"],
  [/^(.+) or more$/, "range.or_more"],
  [/^(.+) or later$/, "range.or_later"],
  [/^(.+) to (.+)$/, "range.to"],
  [/^any$/, "range.any"],
];

/** Return the text of a range, such as `20 to 24` or `before 2026-04-27`. */
export function formatRangeText(text: string): string {
  for (const [pattern, name] of RANGES) {
    const [, start = "", stop = ""] = pattern.exec(text) ?? [];
    if (pattern.test(text)) return label(name, { start: formatEdge(start), stop: formatEdge(stop) });
  }
  return formatEdge(text);
}

function formatEdge(text: string): string {
  return /^\d{4}-\d\d-\d\d$/.test(text) ? formatDay(text) : text;
}
