/** How a vendor would be told, as a word with a mark: the mark is never the only difference. */

import { label } from "../labels/label";
import { type Plan, type Refused, isRefused, outcomeOf } from "./plans";

export function OutcomeText({ plan }: { plan: Plan | Refused }) {
  const outcome = outcomeOf(plan);
  const n = isRefused(plan) ? 0 : plan.requests;
  return <span class={`outcome is-${outcome}`}>{label(`outcome.${outcome}`, { n })}</span>;
}
