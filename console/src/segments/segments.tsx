/** Segments: a list with counts over time, who changed what, what uses them; open, compare, rename, delete. */

import { formatNumber, formatMoment, label } from "../labels/label";
import { followParams, link, reviseParams } from "../link/current";
import { barLength } from "../parts/bar";
import { Notice, RefusalNotice } from "../parts/notice";
import { useAnswer } from "../server/answer";
import { indexPath } from "../server/client";
import { indexes, isAllowed, snapshot } from "../server/session";
import type { ViewProps } from "../views";
import { Comparison } from "./comparison";
import { SegmentHistory } from "./segment_history";
import { type SavedSegment, type SegmentDetails, opened, segments, segmentsRefusal } from "./saved";
import { chooseDialog } from "./segment_dialogs";
import { Sparkline } from "./sparkline";

/** Segments that are compared, in the order in which they were chosen: the link has their names. */
function comparedNames(): readonly string[] {
  const names = [link.value.params.one, link.value.params.two].filter((name): name is string => Boolean(name));
  return names.filter((name) => segments.value?.some((segment) => segment.name === name));
}

function toggleCompared(name: string): void {
  const names = comparedNames();
  const [one = "", two = ""] = names.includes(name) ? names.filter((other) => other !== name) : [...names.slice(-1), name];
  reviseParams({ one, two });
}

export function Segments({ question }: ViewProps) {
  const listed = segments.value;
  const names = comparedNames();
  if (!listed) return segmentsRefusal.value ? <RefusalNotice refusal={segmentsRefusal.value} /> : null;
  const [one, two] = names.map((name) => listed.find((segment) => segment.name === name));
  return (
    <div class="segments">
      <header class="page-head">
        <h2>{label("segments.of", { n: listed.length })}</h2>
        {isAllowed("write") ? (
          <button type="button" class="primary" onClick={() => chooseDialog({ kind: "save", expr: question.expr })}>
            {label("segments.save_current")}
          </button>
        ) : (
          <span class="bound">{label("segments.read_only")}</span>
        )}
      </header>
      {!listed.length && <Notice title={label("segments.none")}>{isAllowed("write") && <p>{label("segments.none_hint")}</p>}</Notice>}
      {listed.length > 0 && <SegmentTable listed={listed} names={names} index={question.index} />}
      {names.length === 1 && <p class="bound">{label("segments.choose_second")}</p>}
      {one && two && <Comparison index={question.index} one={one} two={two} />}
    </div>
  );
}

function SegmentTable({ listed, names, index }: { listed: readonly SavedSegment[]; names: readonly string[]; index: string }) {
  const total = indexes.value?.find((entry) => entry.name === index)?.devices || 1;
  return (
    <div class="scroll">
      <table class="segment-table">
        <caption class="hidden">{label("view.segments")}</caption>
        <thead>
          <tr>
            <th scope="col">{label("segments.compare")}</th>
            <th scope="col">{label("segments.name")}</th>
            <th scope="col" class="number">{label("segments.devices")}</th>
            <th scope="col">{label("segments.trend")}</th>
            <th scope="col">{label("segments.changed")}</th>
            <th scope="col">{label("segments.used_by")}</th>
            <th scope="col">
              <span class="hidden">{label("segments.actions")}</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {listed.map((segment) => (
            <SegmentRows key={segment.name} segment={segment} index={index} total={total} isCompared={names.includes(segment.name)} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

interface SegmentRowsProps {
  readonly segment: SavedSegment;
  readonly index: string;
  readonly total: number;
  readonly isCompared: boolean;
}

/** The row of a segment and, where it is asked for, its history below. */
function SegmentRows({ segment, index, total, isCompared }: SegmentRowsProps) {
  const path = `${indexPath(index, "segments", segment.name)}?counts=1`;
  const { form } = useAnswer<SegmentDetails>(path, undefined, snapshot.value);
  const isShown = link.value.params.history === segment.name;
  return (
    <>
      <tr class={opened.value?.name === segment.name ? "is-chosen" : ""} data-testid={`segment-${segment.name}`}>
        <td>
          <input type="checkbox" checked={isCompared} aria-label={label("segments.compare_one", { name: segment.name })} onChange={() => toggleCompared(segment.name)} />
        </td>
        <th scope="row">
          <button type="button" class="row-button" title={label("segments.open")} onClick={() => openSegment(segment)}>
            <bdi>{segment.name}</bdi>
          </button>
          <code class="segment-text">{segment.expression}</code>
        </th>
        <td class="number bar" style={{ "--share": barLength((segment.devices ?? 0) / total) }}>
          {segment.devices === null ? <span title={segment.problem?.message}>{label("segments.uncounted")}</span> : formatNumber(segment.devices)}
        </td>
        <td>{form && <Sparkline counts={form.counts} />}</td>
        <td>
          <Change segment={segment} isShown={isShown} />
        </td>
        <td class="users">{segment.used_by.length ? segment.used_by.map((user) => <code key={user}>{user}</code>) : "–"}</td>
        <td>{isAllowed("write") && <SegmentActions segment={segment} />}</td>
      </tr>
      {isShown && form && (
        <tr>
          <td colSpan={7}>
            <SegmentHistory details={form} />
          </td>
        </tr>
      )}
    </>
  );
}

function openSegment(segment: SavedSegment): void {
  followParams({ segment: segment.name }, { view: "funnel", expr: segment.expression });
}

function Change({ segment, isShown }: { segment: SavedSegment; isShown: boolean }) {
  const moment = segment.changed && formatMoment(segment.changed.at, zoneOfIndex());
  return (
    <button type="button" class="quiet" aria-expanded={isShown} onClick={() => reviseParams({ history: isShown ? "" : segment.name })}>
      {moment ? (segment.changed?.by ? label("segments.changed_by", { by: segment.changed.by, moment }) : moment) : label("segments.history")}
    </button>
  );
}

function zoneOfIndex(): string {
  return indexes.value?.find((entry) => entry.name === link.value.index)?.timezone ?? "UTC";
}

function SegmentActions({ segment }: { segment: SavedSegment }) {
  return (
    <span class="buttons">
      <button type="button" class="quiet" onClick={() => chooseDialog({ kind: "rename", segment })} aria-label={label("segments.rename_one", { name: segment.name })}>
        {label("segments.rename")}
      </button>
      <button type="button" class="quiet" onClick={() => chooseDialog({ kind: "drop", segment })} aria-label={label("segments.drop_one", { name: segment.name })}>
        {label("segments.drop")}
      </button>
    </span>
  );
}
