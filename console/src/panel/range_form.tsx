/** Two fields that add a range of numbers or days to the expression. */

import { useRef } from "preact/hooks";
import { label } from "../labels/label";
import { addOperand, rangeOperand } from "../language/edits";
import { quoteName, quoteValue } from "../language/names";
import { followLink, link } from "../link/current";
import type { Attribute } from "../server/forms";

export function RangeForm({ attribute }: { attribute: Attribute }) {
  const low = useRef<HTMLInputElement>(null);
  const high = useRef<HTMLInputElement>(null);
  const type = attribute.kind === "date" ? "date" : "number";
  const submit = (event: Event) => {
    event.preventDefault();
    const text = formatRange(attribute.name, low.current?.value ?? "", high.current?.value ?? "");
    if (text) followLink({ expr: addOperand(link.value.expr, rangeOperand(attribute.name, text)) });
  };
  return (
    <form class="range" onSubmit={submit}>
      <input ref={low} type={type} step="any" aria-label={label("range.low", { name: attribute.name })} placeholder="≥" />
      <span aria-hidden="true">–</span>
      <input ref={high} type={type} step="any" aria-label={label("range.high", { name: attribute.name })} placeholder="≤" />
      <button type="submit">{label("range.add")}</button>
    </form>
  );
}

function formatRange(name: string, low: string, high: string): string | null {
  const attribute = quoteName(name);
  if (low && high) return `${attribute} between ${quoteValue(low)} and ${quoteValue(high)}`;
  if (low) return `${attribute} >= ${quoteValue(low)}`;
  return high ? `${attribute} <= ${quoteValue(high)}` : null;
}
