/** List of the runs of the service, the one that changed last first. */

import { formatMoment, formatNumber, label } from "../labels/label";
import { followParams } from "../link/current";
import { Notice, RefusalNotice } from "../parts/notice";
import { useAnswer } from "../server/answer";
import { isAllowed } from "../server/session";
import { Progress } from "./progress";
import type { RunSummary } from "./run_forms";
import { StateChip } from "./state_chip";
import { useTicks } from "./ticks";
import { zoneHere } from "./zone";

const LOOK_EVERY = 3_000;

export function RunList() {
  const ticks = useTicks(LOOK_EVERY);
  const { form, refusal } = useAnswer<{ runs: readonly RunSummary[] }>("v1/runs", undefined, ticks);
  if (refusal?.problem.code === "no-runs-folder") return <NoFolder />;
  if (refusal) return <RefusalNotice refusal={refusal} />;
  if (!form) return null;
  return (
    <div class="runs">
      <header class="page-head">
        <h2>{label("runs.of", { n: form.runs.length })}</h2>
        {isAllowed("write") ? <p class="bound">{label("runs.begin")}</p> : <p class="bound">{label("runs.read_only")}</p>}
      </header>
      {form.runs.length ? <RunTable runs={form.runs} /> : <Notice title={label("runs.none")} />}
    </div>
  );
}

function NoFolder() {
  return (
    <Notice title={label("runs.no_folder")}>
      <code>audience serve … --runs runs</code>
    </Notice>
  );
}

function RunTable({ runs }: { runs: readonly RunSummary[] }) {
  return (
    <div class="scroll">
      <table class="run-table">
        <caption class="hidden">{label("view.runs")}</caption>
        <thead>
          <tr>
            <th scope="col">{label("runs.name")}</th>
            <th scope="col">{label("runs.state")}</th>
            <th scope="col">{label("vendor")}</th>
            <th scope="col" class="number">{label("runs.devices")}</th>
            <th scope="col">{label("runs.progress")}</th>
            <th scope="col">{label("runs.changed")}</th>
          </tr>
        </thead>
        <tbody>
          {runs.map((run) => (
            <tr key={run.name}>
              <th scope="row">
                <button type="button" class="row-button" onClick={() => followParams({ run: run.name })}>
                  <bdi>{run.name}</bdi>
                </button>
              </th>
              <td>
                <StateChip state={run.state} />
              </td>
              <td>
                <bdi>{run.vendors.join(", ")}</bdi>
              </td>
              <td class="number">{formatNumber(run.devices)}</td>
              <td>{run.total !== null && <Progress run={run} />}</td>
              <td>{formatMoment(run.changed, zoneHere())}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
