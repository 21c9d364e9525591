/** The count in large figures, its share, and what it is about: snapshot, moment, time taken. */

import { formatMilliseconds, formatMoment, formatNumber, formatShare, label } from "../labels/label";
import { link } from "../link/current";
import { details, indexes } from "../server/session";
import { answered, countRefusal, isCountSlow, isCounting } from "./counting";
import { MomentChooser } from "./moment_chooser";

export function CountDisplay() {
  const question = answered.value;
  const isStale = isCounting.value || countRefusal.value !== null || question?.index !== link.value.index;
  const devices = formatNumber(indexes.value?.find((entry) => entry.name === link.value.index)?.devices ?? 0);
  return (
    <div class={isStale ? "count is-stale" : "count"} aria-busy={isCounting.value}>
      <output
        class="count-number"
        style={{ "--characters": devices.length }}
        data-testid="count"
        data-expr={question?.expr}
        data-snapshot={question?.count.snapshot}
        aria-label={label("count")}
        aria-live="polite"
      >
        {question ? formatNumber(question.count.count) : "–"}
      </output>
      <div class="count-about">
        <span class="count-share">{question ? describeShare(question.count.share, question.index) : " "}</span>
        <CountDetails />
      </div>
    </div>
  );
}

function CountDetails() {
  const question = answered.value;
  if (!question) return <span>{isCountSlow.value ? label("counting") : " "}</span>;
  const { count, milliseconds } = question;
  const time = isCountSlow.value ? label("counting") : milliseconds === null ? "" : formatMilliseconds(milliseconds);
  return (
    <span class="count-details">
      <MomentChooser text={label("count.as_of", { moment: formatMoment(count.as_of, timezoneOf(question.index)) })} />
      <span>{label("count.snapshot", { snapshot: String(count.snapshot) })}</span>
      <span class="count-time">{time}</span>
    </span>
  );
}

function describeShare(share: number, index: string): string {
  const devices = indexes.value?.find((entry) => entry.name === index)?.devices;
  return devices === undefined ? formatShare(share) : label("count.share", { share: formatShare(share), n: devices });
}

function timezoneOf(index: string): string {
  const entry = indexes.value?.find((known) => known.name === index) ?? details.value;
  return entry?.timezone ?? "UTC";
}
