/** One run: what it would do before it is sent, and how far it is afterwards. It is asked for again every second. */

import { formatMoment, formatNumber, label } from "../labels/label";
import { followParams } from "../link/current";
import { RefusalNotice } from "../parts/notice";
import { ProblemItems } from "../parts/problem_items";
import { useAnswer } from "../server/answer";
import { ConfirmSend } from "./confirm_send";
import { DryRunView } from "./dry_run_view";
import { Failures } from "./failures";
import { PaceView } from "./pace_view";
import { Progress, ProgressNumbers } from "./progress";
import { RunActions } from "./run_actions";
import { type Run, type VendorRun, isMoving } from "./run_forms";
import { StateChip } from "./state_chip";
import { useTicks } from "./ticks";
import { zoneHere } from "./zone";

const [LOOK_OFTEN, LOOK_EVERY] = [1_000, 5_000];

export function RunPage({ name }: { name: string }) {
  const ticks = useTicks(LOOK_OFTEN);
  const { form: run, refusal } = useRun(name, ticks);
  return (
    <div class="run" data-testid="run">
      <p>
        <button type="button" class="quiet" onClick={() => followParams({ run: "", send: "" })}>
          ← {label("runs.all")}
        </button>
      </p>
      {refusal && <RefusalNotice refusal={refusal} />}
      {run && <RunBody run={run} />}
    </div>
  );
}

/** Ask for a run: every second while it moves, and less often otherwise. */
function useRun(name: string, ticks: number) {
  const path = `v1/runs/${encodeURIComponent(name)}`;
  const slowTicks = Math.floor(ticks / (LOOK_EVERY / LOOK_OFTEN));
  const first = useAnswer<Run>(path, undefined, slowTicks);
  const moves = first.form !== null && isMoving(first.form.state);
  const moving = useAnswer<Run>(moves ? path : null, undefined, ticks);
  return moves && moving.form ? moving : first;
}

function RunBody({ run }: { run: Run }) {
  const isEmitted = run.state === "emitted" || run.state === "failed";
  return (
    <>
      <header class="page-head">
        <h2>
          <bdi>{run.name}</bdi>
        </h2>
        <StateChip state={run.state} />
        <span class="bound">
          {label("run.devices", { n: run.devices })}
          {run.emitted_by && ` · ${label("run.emitted_by", { by: run.emitted_by })}`}
          {run.last_action && ` · ${label("run.last_action", { by: run.last_action.by, moment: formatMoment(run.last_action.at, zoneHere()) })}`}
        </span>
        <RunActions run={run} />
      </header>
      {run.problem && <ProblemItems title={label("run.problem")} problems={[run.problem]} />}
      {run.total !== null && (
        <>
          <Progress run={run} />
          <ProgressNumbers run={run} />
        </>
      )}
      {Object.entries(run.runs).map(([vendor, part]) => (
        <VendorPart key={vendor} vendor={vendor} part={part} />
      ))}
      {isEmitted && run.dry_run && <DryRunView dryRun={run.dry_run} />}
      {run.message && (
        <details class="run-message" open={!run.dry_run}>
          <summary>{label("run.message")}</summary>
          <pre class="payload" tabIndex={0} aria-label={label("run.message")}>
            {JSON.stringify(run.message, null, 2)}
          </pre>
        </details>
      )}
      {isEmitted && <ConfirmSend key={run.state} run={run} />}
    </>
  );
}

function VendorPart({ vendor, part }: { vendor: string; part: VendorRun }) {
  return (
    <section class="vendor-part" aria-label={vendor}>
      <h3>
        <bdi>{vendor}</bdi> {part.method && <code>{part.method}</code>}
      </h3>
      {part.audience.expression && (
        <p>
          <button type="button" class="quiet text-button" title={label("run.open_audience")} onClick={() => followParams({ segment: "" }, { view: "funnel", expr: part.audience.expression ?? "" })}>
            <code>{part.audience.expression}</code>
          </button>
        </p>
      )}
      {part.pace && <PaceView pace={part.pace} />}
      {part.stopped && <ProblemItems title={label("run.stopped")} problems={[part.stopped]} />}
      <LeftOut left={part.left_out} />
      {part.skipped > 0 && <p class="bound">{label("run.skipped", { n: part.skipped })}</p>}
      <Failures failures={part.failures} />
    </section>
  );
}

function LeftOut({ left }: { left: Readonly<Record<string, number>> }) {
  const entries = Object.entries(left);
  if (!entries.length) return null;
  return (
    <p class="bound">
      {label("run.left_out")}{" "}
      {entries.map(([policy, ids]) => (
        <span key={policy}>
          <code>{policy}</code> {formatNumber(ids)}{" "}
        </span>
      ))}
    </p>
  );
}
