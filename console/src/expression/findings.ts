/** Problems of the expression: why it has no count, and what is probably not meant. */

import { computed, effect, signal } from "@preact/signals";
import { link } from "../link/current";
import { quoteName, unquote } from "../language/names";
import { toUnitSpan } from "../language/positions";
import { type TokenKind, tokenize } from "../language/tokens";
import { Refusal, ask, indexPath } from "../server/client";
import type { Finding, Findings, Problem } from "../server/forms";
import { answered, askedExpr, countRefusal } from "./counting";

const LINT_DELAY = 150;
const NAMES: ReadonlySet<TokenKind> = new Set(["name", "attribute", "string", "number"]);

/** Problem that the page shows: where it is in the text, and what to write instead, if that is known. */
export interface ShownProblem {
  readonly code: string;
  readonly message: string;
  readonly hint: string | null;
  readonly from: number | null;
  readonly to: number | null;
  readonly fix: string | null;
  readonly isError: boolean;
}

interface Linted {
  readonly index: string;
  readonly expr: string;
  readonly findings: readonly Finding[];
}

const linted = signal<Linted | null>(null);

/** Problems of the text as it is now: those of the refusal, else what the linter found. */
export const problems = computed<readonly ShownProblem[]>(() => {
  const text = link.value.expr;
  const lint = linted.value?.expr === askedExpr.value && linted.value.index === link.value.index ? linted.value.findings : [];
  const refusal = countRefusal.value;
  if (!refusal) return lint.map((finding) => showProblem(text, finding, finding.fix?.expr ?? null, false));
  return refusal.problems.map((problem) => {
    const fix = lint.find((finding) => finding.code === problem.code && finding.fix)?.fix?.expr ?? null;
    return showProblem(text, problem, fix, true);
  });
});

/** Lint whenever a count was answered or refused, once the typing pauses. */
export function watchFindings(): void {
  let abort = new AbortController();
  let timer = 0;
  effect(() => {
    const { index, asOf } = link.value;
    const expr = askedExpr.value;
    const settled = countRefusal.value ?? answered.value;
    abort.abort();
    clearTimeout(timer);
    abort = new AbortController();
    const { signal } = abort;
    if (settled) timer = setTimeout(() => void lintQuestion(index, expr, asOf, signal), LINT_DELAY);
  });
}

async function lintQuestion(index: string, expr: string, asOf: string, signal: AbortSignal): Promise<void> {
  try {
    const body = asOf ? { expr, as_of: asOf } : { expr };
    const reply = await ask<Findings>(indexPath(index, "lint"), { body, signal });
    if (!signal.aborted) linted.value = { index, expr, findings: reply.form.findings };
  } catch (error) {
    if (!signal.aborted && error instanceof Refusal) linted.value = { index, expr, findings: [] };
  }
}

function showProblem(text: string, problem: Problem, fix: string | null, isError: boolean): ShownProblem {
  const { code, message, hint } = problem;
  const span = problem.span ? toUnitSpan(text, problem.span) : { from: null, to: null };
  return { code, message, hint, ...span, fix: fix ?? guessFix(text, problem), isError };
}

/** Return *text* with the word that a hint names in place of the misspelled one, if it is clear which one that is. */
function guessFix(text: string, problem: Problem): string | null {
  const name = /^did you mean (.+)\?$/.exec(problem.hint ?? "")?.[1];
  if (!name || !problem.span) return null;
  const { from, to } = toUnitSpan(text, problem.span);
  const words = tokenize(text.slice(from, to)).filter((token) => NAMES.has(token.kind));
  const named = /'([^']+)'/.exec(problem.message)?.[1];
  const word = words.find((token) => unquote(token.text) === named) ?? words.at(-1);
  return word ? text.slice(0, from + word.start) + quoteName(name) + text.slice(from + word.end) : null;
}
