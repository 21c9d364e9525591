/** What was rejected, is invalid or in doubt, by code, and what to do about it. */

import { formatNumber, label } from "../labels/label";
import type { Failure } from "./run_forms";

export function Failures({ failures }: { failures: readonly Failure[] }) {
  if (!failures.length) return null;
  return (
    <div class="scroll">
      <table class="failures">
        <caption>{label("failures")}</caption>
        <thead>
          <tr>
            <th scope="col">{label("failures.code")}</th>
            <th scope="col">{label("failures.kind")}</th>
            <th scope="col" class="number">{label("failures.ids")}</th>
            <th scope="col" class="number">{label("failures.batches")}</th>
            <th scope="col">{label("failures.what_to_do")}</th>
          </tr>
        </thead>
        <tbody>
          {failures.map((failure) => (
            <FailureRow key={`${failure.state} ${failure.code}`} failure={failure} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function FailureRow({ failure }: { failure: Failure }) {
  return (
    <tr>
      <th scope="row">
        {failure.source ? (
          <a href={failure.source} rel="noreferrer" target="_blank">
            <code>{failure.code}</code>
          </a>
        ) : (
          <code>{failure.code}</code>
        )}
      </th>
      <td>{label(`failure.${failure.state}`)}</td>
      <td class="number">{formatNumber(failure.ids)}</td>
      <td class="number">{formatNumber(failure.batches)}</td>
      <td lang="en">
        <bdi>{failure.meaning}</bdi>
        {failure.advice && <span class="hint">{failure.advice}</span>}
      </td>
    </tr>
  );
}
