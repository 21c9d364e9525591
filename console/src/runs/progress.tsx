/** Bar of a run: what was accepted, is in doubt, was rejected, and waits. The numbers stand beside it. */

import { formatNumber, label } from "../labels/label";

interface ProgressProps {
  readonly run: { readonly accepted: number; readonly in_doubt: number; readonly rejected: number; readonly waiting: number; readonly settled: number; readonly total: number | null };
}

const PARTS = ["accepted", "in_doubt", "rejected"] as const;

export function Progress({ run }: ProgressProps) {
  const total = run.total ?? 0;
  const ids = run.accepted + run.in_doubt + run.rejected + run.waiting;
  const text = label("run.settled", { settled: run.settled, total });
  return (
    <span class="progress">
      <span class="progress-bar" role="progressbar" aria-label={label("runs.progress")} aria-valuemin={0} aria-valuemax={total} aria-valuenow={run.settled} aria-valuetext={text}>
        {ids > 0 ? (
          PARTS.map((part) => <span key={part} class={`part is-${part}`} style={{ "--part": share(run[part], ids) }} />)
        ) : (
          <span class="part is-accepted" style={{ "--part": share(run.settled, total) }} />
        )}
      </span>
      <small>{text}</small>
    </span>
  );
}

/** Numbers of the parts, each with the mark of its part in the bar. */
export function ProgressNumbers({ run }: ProgressProps) {
  return (
    <dl class="progress-numbers">
      {([...PARTS, "waiting"] as const).map((part) => (
        <div key={part}>
          <dt class={`is-${part}`}>{label(`run.${part}`)}</dt>
          <dd data-testid={`run-${part}`}>{formatNumber(run[part])}</dd>
        </div>
      ))}
    </dl>
  );
}

function share(part: number, whole: number): string {
  return whole ? `${((part / whole) * 100).toFixed(2)}%` : "0%";
}
