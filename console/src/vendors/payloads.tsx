/** Payloads as JSON: one alone, or two beside each other with what differs marked. */

import { label } from "../labels/label";
import { type Line, compareLines } from "./difference";
import { formatPayloads, shownPayloads } from "./payload_text";
import { type Plan, type Refused, isRefused } from "./plans";

interface Side {
  readonly name: string;
  readonly plan: Plan | Refused;
}

export function Payload({ plan }: { plan: Plan }) {
  return (
    <>
      {plan.native.length > 0 && (
        <pre class="payload" tabIndex={0} aria-label={label("vendors.payload")} data-testid="payload">
          {formatPayloads(shownPayloads(plan.native))}
        </pre>
      )}
      <ByIds plan={plan} />
    </>
  );
}

export function PayloadPair({ left, right }: { left: Side; right: Side }) {
  const [ours, theirs] = [describeSide(left.plan), describeSide(right.plan)];
  const lines = compareLines(ours, theirs);
  return (
    <div class="payload-pair">
      {([left, right] as const).map((side, at) => (
        <div key={side.name}>
          <h3>
            <bdi>{side.name}</bdi>
          </h3>
          <Lines text={at ? theirs : ours} lines={lines?.[at] ?? null} name={side.name} />
          {!isRefused(side.plan) && <ByIds plan={side.plan} />}
        </div>
      ))}
      {!lines && <p class="bound">{label("vendors.too_long")}</p>}
    </div>
  );
}

function Lines({ text, lines, name }: { text: string; lines: readonly Line[] | null; name: string }) {
  if (!text) return <p class="bound">{label("vendors.no_payload")}</p>;
  return (
    <pre class="payload" tabIndex={0} aria-label={`${label("vendors.payload")}: ${name}`}>
      {lines
        ? lines.map((line, at) =>
            line.isCommon ? `${line.text}\n` : <mark key={at}>{`${line.text}\n`}</mark>,
          )
        : text}
    </pre>
  );
}

function describeSide(plan: Plan | Refused): string {
  return isRefused(plan) || !plan.native.length ? "" : formatPayloads(shownPayloads(plan.native));
}

/** The devices that are sent as ids, which no payload can name. */
function ByIds({ plan }: { plan: Plan }) {
  if (plan.by_ids === null) return null;
  return (
    <p class="by-ids">
      {label("vendors.by_ids")} <code>{plan.by_ids}</code>
    </p>
  );
}
