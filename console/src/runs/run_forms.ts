/** Runs, as the service answers them. */

import type { Problem } from "../server/forms";
import type { Cost } from "../vendors/plans";

export type RunState = "emitted" | "starting" | "sending" | "interrupted" | "scheduled" | "stopped" | "in-doubt" | "cancelled" | "done" | "failed" | "damaged";

/** Numbers of ids, and how far a run is. */
export interface RunSummary {
  readonly name: string;
  readonly state: RunState;
  readonly vendor: string | null;
  readonly vendors: readonly string[];
  readonly devices: number;
  readonly accepted: number;
  readonly in_doubt: number;
  readonly rejected: number;
  readonly waiting: number;
  readonly settled: number;
  readonly total: number | null;
  readonly changed: string;
  readonly problem: Problem | null;
}

export interface StateCounts {
  readonly todo: number;
  readonly sent: number;
  readonly accepted: number;
  readonly rejected: number;
  readonly in_doubt: number;
  readonly withdrawn: number;
}

export interface Pace {
  readonly calls_per_second: number;
  readonly ids_per_second: number;
  readonly limit: { readonly calls: number; readonly seconds: number; readonly source: string } | null;
  readonly seconds_left: number | null;
}

export interface Failure {
  readonly state: "rejected" | "in_doubt" | "invalid";
  readonly code: string;
  readonly meaning: string;
  readonly advice: string | null;
  readonly source: string | null;
  readonly batches: number;
  readonly ids: number;
}

export interface VendorRun {
  readonly devices: number;
  readonly audience: { readonly expression: string | null; readonly as_of: string | null; readonly timezone: string | null };
  readonly state: RunState;
  readonly method: string | null;
  readonly batches: StateCounts | null;
  readonly ids: StateCounts | null;
  readonly left_out: Readonly<Record<string, number>>;
  readonly skipped: number;
  readonly stopped: Problem | null;
  readonly settled: number;
  readonly total: number | null;
  readonly pace: Pace | null;
  readonly failures: readonly Failure[];
}

export interface Preview {
  readonly variant: string | null;
  readonly language: string | null;
  readonly platform: string;
  readonly title: string | null;
  readonly body: string | null;
  readonly payload: unknown;
  readonly problems: readonly Problem[];
}

export interface DryRun {
  readonly vendor: string;
  readonly method: string;
  readonly devices: number;
  readonly calls: number;
  readonly bytes: number;
  readonly seconds: number;
  readonly costs: readonly Cost[];
  readonly native: number;
  readonly ids: number;
  readonly unreachable: readonly { readonly code: string; readonly meaning: string; readonly devices: number }[];
  readonly left_out: Readonly<Record<string, number>>;
  readonly broadcast: boolean;
  readonly has_credentials: boolean;
  readonly preview: readonly Preview[];
  readonly warnings: readonly Problem[];
}

export interface Run extends RunSummary {
  readonly index: string | null;
  readonly message: Message | null;
  readonly runs: Readonly<Record<string, VendorRun>>;
  readonly dry_run: DryRun | null;
  readonly emitted_by: string | null;
  readonly last_action: { readonly action: string; readonly at: string; readonly by: string; readonly problems: readonly Problem[] } | null;
}

export type Message = Readonly<Record<string, unknown>>;

/** Return whether something of a run may still change by itself. */
export function isMoving(state: RunState): boolean {
  return state === "starting" || state === "sending";
}
