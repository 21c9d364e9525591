/** How fast a run is, beside the vendor's limit, and how long the rest takes. */

import { formatNumber, formatSeconds, label } from "../labels/label";
import type { Pace } from "./run_forms";

export function PaceView({ pace }: { pace: Pace }) {
  const { limit } = pace;
  return (
    <p class="pace">
      {label("pace.calls", { calls: formatNumber(pace.calls_per_second) })}
      {limit && (
        <>
          {" · "}
          <a href={limit.source} rel="noreferrer" target="_blank">
            {label("pace.limit", { calls: limit.calls, period: formatSeconds(limit.seconds) })}
          </a>
        </>
      )}
      {" · "}
      {label("pace.ids", { ids: formatNumber(Math.round(pace.ids_per_second)) })}
      {pace.seconds_left !== null && ` · ${label("pace.left", { time: formatSeconds(pace.seconds_left) })}`}
    </p>
  );
}
