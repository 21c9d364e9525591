/** Histogram of numbers, days or moments: the audience as bars, and the base as a line across each. */

import { formatNumber, formatShare, label } from "../labels/label";
import { addOperand, excludeOperand, findOperand, keepOnlyOperand, plainOperand, rangeOperand } from "../language/edits";
import { followLink, link } from "../link/current";
import type { ProfiledAttribute, ProfiledValue } from "../server/forms";
import { describeInterval, formatLift } from "./lift_table";
import { formatRangeText } from "./range_text";

export function Histogram({ attribute }: { attribute: ProfiledAttribute }) {
  const { values } = attribute;
  const highest = Math.max(...values.map((value) => Math.max(value.share, value.base_share)), Number.MIN_VALUE);
  return (
    <>
      <div class="histogram" role="group" aria-label={label("profile.histogram", { name: attribute.name })}>
        {values.map((value) => (
          <Bin key={value.value} attribute={attribute} value={value} highest={highest} />
        ))}
      </div>
      <p class="histogram-ends">
        <bdi>{formatRangeText(values[0]?.value ?? "")}</bdi>
        <bdi>{values.length > 1 ? formatRangeText(values.at(-1)?.value ?? "") : ""}</bdi>
      </p>
    </>
  );
}

interface BinProps {
  readonly attribute: ProfiledAttribute;
  readonly value: ProfiledValue;
  readonly highest: number;
}

function Bin({ attribute, value, highest }: BinProps) {
  const { expr } = value;
  const operand = expr === null ? null : attribute.kind === "event" ? plainOperand(expr) : rangeOperand(attribute.name, expr);
  const text = describeBin(value);
  return (
    <button
      type="button"
      class={operand ? `bin is-${findOperand(link.value.expr, operand)}` : "bin"}
      disabled={!operand}
      aria-label={text}
      title={text}
      style={{ "--height": percent(value.share / highest), "--base": percent(value.base_share / highest) }}
      onClick={(event) => {
        if (!operand) return;
        const edit = event.altKey ? excludeOperand : event.shiftKey ? keepOnlyOperand : addOperand;
        followLink({ expr: edit(link.value.expr, operand) });
      }}
    />
  );
}

function describeBin(value: ProfiledValue): string {
  const shares = { share: formatShare(value.share), base: formatShare(value.base_share), n: formatNumber(value.count) };
  const lift = value.lift === null ? "" : `${formatLift(value.lift)}× ${describeInterval(value)}`;
  return `${formatRangeText(value.value)}: ${label("profile.bin", shares)} ${lift}`.trim();
}

function percent(share: number): string {
  return `${(share * 100).toFixed(2)}%`;
}
