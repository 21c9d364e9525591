/** What the service answers. The names are those of its OpenAPI document. */

export interface Span {
  readonly start: number;
  readonly end: number;
}

export interface Problem {
  readonly code: string;
  readonly message: string;
  readonly span: Span | null;
  readonly hint: string | null;
  readonly path?: string | null;
}

export interface Finding extends Problem {
  readonly fix: { readonly expr: string } | null;
}

export interface Readiness {
  readonly indexes: Readonly<Record<string, { readonly snapshot: number; readonly problem: Problem | null }>>;
}

export type Scope = "count" | "ids" | "write" | "send";

export interface Session {
  readonly name: string;
  readonly scopes: readonly Scope[];
  readonly version: string;
}

export interface IndexEntry {
  readonly name: string;
  readonly devices: number;
  readonly snapshot: number;
  readonly created: string;
  readonly timezone: string;
}

export type Kind = "tag" | "string" | "number" | "date" | "time" | "version";

export interface ValueCount {
  readonly value: string;
  readonly devices: number | null;
  readonly within?: number | null;
}

export interface Attribute {
  readonly name: string;
  readonly kind: Kind;
  readonly values: number;
  readonly multiple: boolean;
  readonly most_frequent: readonly ValueCount[];
}

export interface EventEntry {
  readonly name: string;
  readonly devices: number;
  readonly first_day: string | null;
  readonly last_day: string | null;
  readonly properties: readonly { readonly name: string; readonly kind: string }[];
}

export interface SegmentEntry {
  readonly name: string;
  readonly expression: string;
  readonly devices: number | null;
}

export interface IndexDetails extends IndexEntry {
  readonly as_of: string;
  readonly ids: readonly string[];
  readonly attributes: readonly Attribute[];
  readonly segments: readonly SegmentEntry[];
  readonly events: readonly EventEntry[];
}

export interface AttributeValues {
  readonly name: string;
  readonly kind: Kind;
  readonly values: readonly ValueCount[];
  readonly total: number;
}

export interface Count {
  readonly count: number;
  readonly share: number;
  readonly snapshot: number;
  readonly as_of: string;
}

export interface ExplainedLine {
  readonly depth: number;
  readonly text: string;
  readonly count: number;
  readonly share: number;
  readonly remaining: number | null;
  readonly values: number | null;
  readonly path: readonly number[] | null;
  readonly without: { readonly expr: string; readonly count: number } | null;
}

export interface Explanation extends Count {
  readonly devices: number;
  readonly lines: readonly ExplainedLine[];
}

export interface CompletionEntry {
  readonly text: string;
  readonly kind: string;
  readonly start: number;
  readonly end: number;
  readonly devices: number | null;
  readonly within: number | null;
}

export interface Completions {
  readonly completions: readonly CompletionEntry[];
  readonly snapshot: number;
}

export interface Findings {
  readonly findings: readonly Finding[];
  readonly canonical: string | null;
  readonly snapshot: number;
}

export interface ProfiledValue {
  readonly value: string;
  readonly from: string | null;
  readonly to: string | null;
  readonly count: number;
  readonly share: number;
  readonly base_count: number;
  readonly base_share: number;
  readonly lift: number | null;
  readonly low: number | null;
  readonly high: number | null;
  readonly expr: string | null;
}

export interface ProfiledAttribute {
  readonly name: string;
  readonly kind: Kind | "event";
  readonly form: "values" | "histogram" | "days";
  readonly multiple: boolean;
  readonly known: number;
  readonly base_known: number;
  readonly distinct: number | null;
  readonly information: number;
  readonly values: readonly ProfiledValue[];
  readonly others: { readonly values: number; readonly count: number; readonly base_count: number } | null;
}

export interface Profile {
  readonly against: string | null;
  readonly count: number;
  readonly base_count: number;
  readonly confidence: number;
  readonly attributes: readonly ProfiledAttribute[];
}

export interface OverlapSegment {
  readonly name: string;
  readonly expression: string;
  readonly count: number;
  readonly share: number;
}

export interface OverlapPair {
  readonly both: number;
  readonly jaccard: number | null;
  readonly contained: number | null;
}

export interface Combination {
  readonly names: readonly string[];
  readonly count: number;
}

export interface Overlap {
  readonly devices: number;
  readonly segments: readonly OverlapSegment[];
  readonly pairs: readonly (readonly OverlapPair[])[];
  readonly combinations: readonly Combination[] | null;
  readonly none: number;
}
