/** History of a segment: who changed it, when, and to what. */

import { formatMoment, label } from "../labels/label";
import { followParams, link } from "../link/current";
import { indexes } from "../server/session";
import type { SegmentDetails } from "./saved";

export function SegmentHistory({ details }: { details: SegmentDetails }) {
  const zone = indexes.value?.find((entry) => entry.name === link.value.index)?.timezone ?? "UTC";
  if (!details.history.length) return <p class="bound">{label("segments.no_history")}</p>;
  return (
    <table class="history">
      <caption class="hidden">{label("segments.history_of", { name: details.name })}</caption>
      <thead>
        <tr>
          <th scope="col">{label("history.when")}</th>
          <th scope="col">{label("history.who")}</th>
          <th scope="col">{label("history.what")}</th>
          <th scope="col">{label("expression")}</th>
        </tr>
      </thead>
      <tbody>
        {[...details.history].reverse().map((change, at) => (
          <tr key={at}>
            <td>{formatMoment(change.at, zone)}</td>
            <td>
              <bdi>{change.by ?? "–"}</bdi>
            </td>
            <td>{label(`history.${change.action}`)}</td>
            <td>
              {change.expression === null ? (
                "–"
              ) : (
                <button type="button" class="quiet text-button" title={label("history.open")} onClick={() => followParams({ segment: details.name }, { view: "funnel", expr: change.expression ?? "" })}>
                  <code>{change.expression}</code>
                </button>
              )}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
