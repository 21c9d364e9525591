/** Numbers with a bar behind them: the cells of every table that compares sizes. */

import { formatNumber, formatShare } from "../labels/label";

interface BarProps {
  /** Length of the bar, from 0 to 1. */
  readonly share: number;
  readonly children: preact.ComponentChildren;
  readonly class?: string;
}

/** Table cell with a bar as its background. */
export function BarCell({ share, children, class: name = "" }: BarProps) {
  return (
    <td class={`number bar ${name}`} style={{ "--share": barLength(share) }}>
      {children}
    </td>
  );
}

export function NumberCell({ value }: { value: number | null }) {
  return <td class="number">{value === null ? "" : formatNumber(value)}</td>;
}

export function ShareCell({ value }: { value: number | null }) {
  return <td class="number">{value === null ? "" : formatShare(value)}</td>;
}

/** Return the length of a bar as a percentage. What is not zero has at least a visible length. */
export function barLength(share: number): string {
  return share > 0 ? `${Math.max(0.4, Math.min(100, share * 100)).toFixed(2)}%` : "0%";
}
