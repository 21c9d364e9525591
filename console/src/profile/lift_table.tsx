/** Values of an attribute with their shares and their lift: how much more frequent they are than in the base. */

import { formatNumber, formatShare, label, locale } from "../labels/label";
import { type Operand, plainOperand, valueOperand } from "../language/edits";
import { BarCell } from "../parts/bar";
import { ValueButton } from "../parts/value_button";
import type { ProfiledAttribute, ProfiledValue } from "../server/forms";

const WIDEST_LIFT = 8; // lifts beyond 8 and 1/8 end at the edges of their cells

export function LiftTable({ attribute }: { attribute: ProfiledAttribute }) {
  return (
    <div class="scroll">
      <table class="lifts">
        <caption class="hidden">{attribute.name}</caption>
        <thead>
          <tr>
            <th scope="col">{label("profile.value")}</th>
            <th scope="col" class="number">
              {label("profile.devices")}
            </th>
            <th scope="col" class="number">
              {label("profile.share")}
            </th>
            <th scope="col" class="number">
              {label("profile.base_share")}
            </th>
            <th scope="col" class="number">
              {label("profile.lift")}
            </th>
          </tr>
        </thead>
        <tbody>
          {attribute.values.map((value) => (
            <LiftRow key={value.value} attribute={attribute} value={value} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function LiftRow({ attribute, value }: { attribute: ProfiledAttribute; value: ProfiledValue }) {
  const operand = operandOf(attribute, value);
  return (
    <tr>
      <th scope="row">{operand ? <ValueButton operand={operand} name={value.value} /> : <bdi>{value.value}</bdi>}</th>
      <td class="number">{formatNumber(value.count)}</td>
      <BarCell share={value.share}>{formatShare(value.share)}</BarCell>
      <td class="number">{formatShare(value.base_share)}</td>
      <td class="number lift" style={liftStyle(value)} title={describeInterval(value)}>
        {value.lift === null ? "" : `${formatLift(value.lift)}×`}
      </td>
    </tr>
  );
}

function operandOf(attribute: ProfiledAttribute, value: ProfiledValue): Operand | null {
  if (value.expr === null) return null;
  if (attribute.kind === "event") return plainOperand(value.expr);
  return { ...valueOperand(attribute.name, value.value, attribute.multiple), text: value.expr };
}

/** Return where the lift and its interval are between the edges of their cell; 1 is in the middle. */
function liftStyle(value: ProfiledValue): Record<string, string> {
  if (value.lift === null) return {};
  const [low, high] = [place(value.low ?? 0), place(value.high ?? Number.POSITIVE_INFINITY)];
  return { "--lift": percent(place(value.lift)), "--low": percent(low), "--high": percent(high) };
}

function place(lift: number): number {
  const clamped = Math.min(WIDEST_LIFT, Math.max(1 / WIDEST_LIFT, lift));
  return 0.5 + Math.log(clamped) / Math.log(WIDEST_LIFT) / 2;
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)}%`;
}

export function formatLift(lift: number): string {
  const digits = lift < 1 ? 2 : lift < 10 ? 3 : 2;
  return new Intl.NumberFormat(locale.value, { maximumSignificantDigits: Math.max(digits, Math.trunc(Math.log10(lift || 1)) + 1) }).format(lift);
}

export function describeInterval(value: ProfiledValue): string {
  if (value.low === null && value.high === null) return "";
  const low = formatLift(value.low ?? 0);
  const high = value.high === null ? "∞" : formatLift(value.high);
  return label("profile.interval", { low, high });
}
