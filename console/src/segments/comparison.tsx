/** Two segments beside each other: what they are, and the devices of one, of the other, and of both. */

import { formatNumber, formatShare, label } from "../labels/label";
import { followParams } from "../link/current";
import { barLength } from "../parts/bar";
import { RefusalNotice } from "../parts/notice";
import { useAnswer } from "../server/answer";
import { indexPath } from "../server/client";
import { snapshot } from "../server/session";
import { type SavedSegment, segmentText } from "./saved";

/** What the service answers about two segments, in one snapshot. */
interface Overlap {
  readonly segments: readonly { readonly name: string; readonly count: number }[];
  readonly pairs: readonly (readonly { readonly both: number }[])[];
}

interface ComparisonProps {
  readonly index: string;
  readonly one: SavedSegment;
  readonly two: SavedSegment;
}

export function Comparison({ index, one, two }: ComparisonProps) {
  const body = { segments: [one.name, two.name] };
  const { form, refusal, isPending } = useAnswer<Overlap>(indexPath(index, "overlap"), body, snapshot.value);
  const [first, second] = form?.segments ?? [];
  const both = form?.pairs[0]?.[1]?.both;
  return (
    <section class={isPending ? "comparison is-stale" : "comparison"} aria-label={label("segments.comparison")} data-testid="comparison">
      <div class="pair">
        {[one, two].map((segment) => (
          <div key={segment.name}>
            <h3>
              <bdi>{segment.name}</bdi>
            </h3>
            <p class="pair-count">{segment.devices === null ? label("segments.uncounted") : formatNumber(segment.devices)}</p>
            <code class="segment-text">{segment.expression}</code>
          </div>
        ))}
      </div>
      {refusal && <RefusalNotice refusal={refusal} />}
      {first && second && both !== undefined && <Parts one={one} two={two} counts={[first.count, second.count]} both={both} />}
    </section>
  );
}

interface PartsProps {
  readonly one: SavedSegment;
  readonly two: SavedSegment;
  readonly counts: readonly [number, number];
  readonly both: number;
}

/** Table of the three parts; each of them is a button that asks about its devices. */
function Parts({ one, two, counts, both }: PartsProps) {
  const [first, second] = [segmentText(one.name), segmentText(two.name)];
  const either = counts[0] + counts[1] - both;
  const parts = [
    { text: label("segments.only", { name: one.name }), devices: counts[0] - both, expr: `${first} AND NOT ${second}` },
    { text: label("segments.both"), devices: both, expr: `${first} AND ${second}` },
    { text: label("segments.only", { name: two.name }), devices: counts[1] - both, expr: `${second} AND NOT ${first}` },
  ];
  return (
    <>
      <table class="parts">
        <caption class="hidden">{label("segments.comparison")}</caption>
        <tbody>
          {parts.map((part) => (
            <tr key={part.expr}>
              <th scope="row">
                <button type="button" class="row-button" onClick={() => followParams({ segment: "" }, { view: "funnel", expr: part.expr })}>
                  <bdi>{part.text}</bdi>
                </button>
              </th>
              <td class="number bar" style={{ "--share": barLength(either ? part.devices / either : 0) }}>
                {formatNumber(part.devices)}
              </td>
              <td class="number">{formatShare(either ? part.devices / either : 0)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <p class="bound">{label("segments.jaccard", { share: formatShare(either ? both / either : 0), n: either })}</p>
    </>
  );
}
