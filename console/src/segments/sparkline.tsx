/** Line of the devices of a segment over the kept snapshots. Its label has the first, the last and the largest number. */

import { formatNumber, label } from "../labels/label";
import type { SnapshotCount } from "./saved";

const [WIDTH, HEIGHT, EDGE] = [120, 24, 2];

export function Sparkline({ counts }: { counts: readonly SnapshotCount[] }) {
  const known = counts.flatMap((count) => (count.devices === null ? [] : [count.devices]));
  const [first, last] = [known[0], known.at(-1)];
  if (first === undefined || last === undefined) return null;
  const highest = Math.max(...known, 1);
  const text = label("segments.over_time", { n: known.length, first, last, highest });
  if (known.length === 1) return <small>{label("segments.one_snapshot")}</small>;
  const points = known.map((devices, at) => {
    const x = EDGE + (at / (known.length - 1)) * (WIDTH - 2 * EDGE);
    return `${x.toFixed(1)},${(HEIGHT - EDGE - (devices / highest) * (HEIGHT - 2 * EDGE)).toFixed(1)}`;
  });
  const [endX, endY] = (points.at(-1) ?? "0,0").split(",");
  return (
    <svg class="sparkline" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} width={WIDTH} height={HEIGHT} role="img" aria-label={text}>
      <title>{`${text}: ${known.map(formatNumber).join(", ")}`}</title>
      <polyline points={points.join(" ")} />
      <circle cx={endX} cy={endY} r="2" />
    </svg>
  );
}
