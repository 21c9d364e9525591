/** Plans of an audience, as the service answers them. */

import type { Problem } from "../server/forms";

export interface Plan {
  readonly expression: string;
  readonly bound: string;
  readonly requests: number;
  readonly native: readonly unknown[];
  readonly by_ids: string | null;
  readonly reasons: readonly Problem[];
  readonly assumptions: readonly Problem[];
  readonly request_exprs: readonly string[];
  readonly split_reasons: readonly Problem[];
  readonly is_minimal: boolean;
  readonly policies: readonly Policy[];
  readonly removed: number;
}

export interface Policy {
  readonly name: string;
  readonly kind: string;
  readonly policy: string;
  readonly removed: number;
}

export interface Refused {
  readonly refused: readonly Problem[];
}

export interface Plans {
  readonly plans: Readonly<Record<string, Plan | Refused>>;
  readonly snapshot: number;
}

export interface Cost {
  readonly method: string;
  readonly calls: number;
  readonly setup_calls: number;
  readonly bytes: number;
  readonly seconds: number;
  readonly worthwhile: boolean;
  readonly problems: readonly Problem[];
}

export interface CostedPlan extends Plan {
  readonly devices: number;
  readonly ids: number | null;
  readonly costs: {
    readonly native: readonly Cost[];
    readonly methods: readonly Cost[];
    readonly chosen: string | null;
  } | null;
}

export interface VendorEntry {
  readonly name: string;
  readonly title: string;
  readonly methods?: readonly string[];
  readonly read_only_reason: string | null;
}

export type Outcome = "native" | "mixed" | "ids" | "refused" | "nothing";

export function isRefused(plan: Plan | Refused): plan is Refused {
  return "refused" in plan;
}

/** Return how a vendor would be told: natively, by ids, by both, or not at all. */
export function outcomeOf(plan: Plan | Refused): Outcome {
  if (isRefused(plan)) return "refused";
  if (plan.native.length) return plan.by_ids === null ? "native" : "mixed";
  return plan.by_ids === null ? "nothing" : "ids";
}
