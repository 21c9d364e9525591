/** Saved segments, and the calls that change them. */

import { computed, effect, signal } from "@preact/signals";
import { quoteName } from "../language/names";
import { tokenize } from "../language/tokens";
import { link } from "../link/current";
import { Refusal, ask, indexPath } from "../server/client";
import type { Problem } from "../server/forms";
import { indexes, readIndexes, session, snapshot } from "../server/session";

export interface Changed {
  readonly at: string;
  readonly by: string | null;
  readonly action: "saved" | "dropped";
}

export interface SavedSegment {
  readonly name: string;
  readonly expression: string;
  readonly devices: number | null;
  readonly is_relative: boolean;
  readonly used_by: readonly string[];
  readonly changed: Changed | null;
  readonly etag: string;
  readonly problem: Problem | null;
}

export interface SegmentChange extends Changed {
  readonly operation: string;
  readonly expression: string | null;
  readonly snapshot: number | null;
}

export interface SnapshotCount {
  readonly snapshot: number;
  readonly created: string | null;
  readonly devices: number | null;
  readonly reason: string | null;
}

export interface SegmentDetails extends SavedSegment {
  readonly history: readonly SegmentChange[];
  readonly counts: readonly SnapshotCount[];
}

/** Segments of the index of the link; null until they are read. */
export const segments = signal<readonly SavedSegment[] | null>(null);
export const segmentsRefusal = signal<Refusal | null>(null);

/** Segment that is opened: the link names it, and its expression may have been changed since. */
export const opened = computed(() => segments.value?.find((segment) => segment.name === link.value.params.segment) ?? null);

/** Keep `segments` as they are in the current snapshot. */
export function watchSegments(): void {
  effect(() => {
    const { index } = link.value;
    const isKnown = indexes.value?.some((entry) => entry.name === index) ?? false;
    if (session.value && isKnown && snapshot.value) void readSegments(index);
  });
}

export async function readSegments(index: string): Promise<void> {
  try {
    const reply = await ask<{ segments: SavedSegment[] }>(indexPath(index, "segments"));
    if (link.value.index !== index) return;
    segments.value = reply.form.segments;
    segmentsRefusal.value = null;
  } catch (error) {
    if (error instanceof Refusal && link.value.index === index) segmentsRefusal.value = error;
  }
}

/** Save an expression: under a new name, or in place of the segment as it was seen. Throws Refusal. */
export async function saveSegment(index: string, name: string, expr: string, seen: SavedSegment | null): Promise<void> {
  const headers: Record<string, string> = seen ? { "If-Match": seen.etag } : { "If-None-Match": "*" };
  await ask(indexPath(index, "segments", name), { method: "PUT", body: { expr }, headers });
  await readChanges(index);
}

/** Delete a segment as it was seen. Throws Refusal, also where something uses it. */
export async function dropSegment(index: string, segment: SavedSegment): Promise<void> {
  await ask(indexPath(index, "segments", segment.name), { method: "DELETE", headers: { "If-Match": segment.etag } });
  await readChanges(index);
}

/**
 * Save a segment under another name, then the segments that use it with the new name, then delete the old one. Every
 * step means the same as the one before, so one that fails leaves no other audience. Throws Refusal.
 */
export async function renameSegment(index: string, segment: SavedSegment, name: string): Promise<void> {
  const users = (segments.value ?? []).filter((other) => segment.used_by.includes(segmentText(other.name)));
  await saveSegment(index, name, segment.expression, null);
  for (const user of users) await saveSegment(index, user.name, renameIn(user.expression, segment.name, name), user);
  await dropSegment(index, segment);
}

/** Return an expression with another name for a segment in it. */
export function renameIn(expr: string, from: string, to: string): string {
  let text = "";
  let at = 0;
  for (const token of tokenize(expr)) {
    const isIt = token.kind === "segment" && (token.text === segmentText(from) || token.text === `@${from}`);
    text += expr.slice(at, token.start) + (isIt ? segmentText(to) : token.text);
    at = token.end;
  }
  return text + expr.slice(at);
}

/** Return how an expression names a segment. */
export function segmentText(name: string): string {
  return `@${quoteName(name)}`;
}

async function readChanges(index: string): Promise<void> {
  await readIndexes();
  await readSegments(index);
}
