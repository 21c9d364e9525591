/** State of a run, in words. */

import { label } from "../labels/label";
import type { RunState } from "./run_forms";

export function StateChip({ state }: { state: RunState }) {
  return <span class={`chip run-state is-${state}`}>{label(`run_state.${state}`)}</span>;
}
