/** Completion of the expression by the service, with counts within what is selected already. */

import type { Completion, CompletionContext, CompletionResult } from "@codemirror/autocomplete";
import { formatNumber, label } from "../labels/label";
import { toCharacters, toUnits } from "../language/positions";
import { link } from "../link/current";
import { ask, indexPath } from "../server/client";
import type { CompletionEntry, Completions } from "../server/forms";

/** Return what may stand at the cursor, the service's order first. */
export async function completeExpression(context: CompletionContext): Promise<CompletionResult | null> {
  const text = context.state.doc.toString();
  if (!link.value.index || (!context.explicit && !text)) return null;
  const abort = new AbortController();
  context.addEventListener("abort", () => abort.abort(), { onDocChange: true });
  const body = { text, position: toCharacters(text, context.pos), within: true };
  try {
    const reply = await ask<Completions>(indexPath(link.value.index, "complete"), { body, signal: abort.signal });
    return showCompletions(reply.form.completions, text);
  } catch {
    return null; // the count of the same text has the reason
  }
}

function showCompletions(entries: readonly CompletionEntry[], text: string): CompletionResult | null {
  const [first] = entries;
  if (!first) return null;
  return {
    from: toUnits(text, first.start),
    to: toUnits(text, first.end),
    filter: false,
    options: entries.map(showCompletion),
  };
}

function showCompletion(entry: CompletionEntry): Completion {
  return { label: entry.text, detail: describeCounts(entry), type: entry.kind, apply: spaced(entry) };
}

/** Return the text of a completion, with a space behind a word that something must follow. */
function spaced(entry: CompletionEntry): string {
  return entry.kind === "keyword" ? `${entry.text} ` : entry.text;
}

function describeCounts(entry: CompletionEntry): string {
  if (entry.devices === null) return label(`kind.${entry.kind}` as Parameters<typeof label>[0]);
  if (entry.within === null) return formatNumber(entry.devices);
  return label("completion.within", { within: entry.within, devices: entry.devices });
}
