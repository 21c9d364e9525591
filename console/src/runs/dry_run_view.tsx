/** What sending would do: devices, calls, duration; who cannot be reached and why; the message on each platform. */

import { formatBytes, formatNumber, formatSeconds, label } from "../labels/label";
import { CostTable } from "../parts/cost_table";
import { ProblemItems } from "../parts/problem_items";
import { ProblemText } from "../parts/problem_text";
import type { DryRun, Preview } from "./run_forms";

export function DryRunView({ dryRun }: { dryRun: DryRun }) {
  const left = Object.entries(dryRun.left_out);
  return (
    <section class="dry-run" aria-label={label("dry_run")} data-testid="dry-run">
      <h3>{label("dry_run")}</h3>
      <dl class="facts">
        <Fact name={label("runs.devices")} value={formatNumber(dryRun.devices)} />
        <Fact name={label("dry_run.native")} value={formatNumber(dryRun.native)} />
        <Fact name={label("dry_run.ids")} value={formatNumber(dryRun.ids)} />
        <Fact name={label("cost.calls")} value={formatNumber(dryRun.calls)} />
        <Fact name={label("cost.duration")} value={formatSeconds(dryRun.seconds)} />
        <Fact name={label("cost.size")} value={formatBytes(dryRun.bytes)} />
      </dl>
      <CostTable costs={dryRun.costs} chosen={dryRun.method} />
      {(dryRun.unreachable.length > 0 || left.length > 0) && (
        <section>
          <h3>{label("dry_run.unreachable")}</h3>
          <table class="unreachable">
            <caption class="hidden">{label("dry_run.unreachable")}</caption>
            <tbody>
              {dryRun.unreachable.map((reason) => (
                <tr key={reason.code}>
                  <th scope="row">
                    <ProblemText problem={{ code: reason.code, message: reason.meaning }} /> <code>{reason.code}</code>
                  </th>
                  <td class="number">{formatNumber(reason.devices)}</td>
                </tr>
              ))}
              {left.map(([policy, devices]) => (
                <tr key={policy}>
                  <th scope="row">
                    {label("dry_run.policy")} <code>{policy}</code>
                  </th>
                  <td class="number">{formatNumber(devices)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </section>
      )}
      <ProblemItems title={label("dry_run.warnings")} problems={dryRun.warnings} />
      {dryRun.preview.length > 0 && (
        <section aria-label={label("dry_run.preview")}>
          <h3>{label("dry_run.preview")}</h3>
          <div class="previews">
            {dryRun.preview.map((preview) => (
              <PreviewCard key={namePreview(preview)} preview={preview} />
            ))}
          </div>
        </section>
      )}
    </section>
  );
}

function Fact({ name, value }: { name: string; value: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}

/** The variant, the language and the platform whose text a preview is, as far as there are any. */
function namePreview({ variant, language, platform }: Preview): string {
  return [variant, language, platform].filter((name) => name !== null).join(" · ");
}

function PreviewCard({ preview }: { preview: Preview }) {
  const name = namePreview(preview);
  return (
    <article class="preview" aria-label={name}>
      <h4>{name}</h4>
      {preview.payload === null ? (
        <ProblemItems title={label("dry_run.no_preview")} problems={preview.problems} />
      ) : (
        <>
          <div class="notification">
            <b dir="auto">{preview.title}</b>
            <p dir="auto">{preview.body}</p>
          </div>
          <details>
            <summary>{label("vendors.payload")}</summary>
            <pre class="payload" tabIndex={0} aria-label={`${label("vendors.payload")}: ${name}`}>
              {JSON.stringify(preview.payload, null, 2)}
            </pre>
          </details>
        </>
      )}
    </article>
  );
}
