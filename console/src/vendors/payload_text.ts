/** Payloads as text: JSON, and the call of the service that returns them. */

import { questionBody, type Answered } from "../expression/counting";
import { indexPath } from "../server/client";

const MAX_PAYLOADS = 20;

/** Return the payloads of a plan as JSON of several lines, one of them alone or all in a list. */
export function formatPayloads(payloads: readonly unknown[]): string {
  return JSON.stringify(payloads.length === 1 ? payloads[0] : payloads, null, 2);
}

/** Return the payloads that are shown, which are not all where there are many. */
export function shownPayloads(payloads: readonly unknown[]): readonly unknown[] {
  return payloads.slice(0, MAX_PAYLOADS);
}

/** Return a command of a POSIX shell that asks the service for the plan. The key is left to whoever runs it. */
export function formatCurl(question: Answered, vendor: string, hasKey: boolean): string {
  const url = new URL(indexPath(question.index, "plan"), location.href).href;
  const body = JSON.stringify({ ...questionBody(question), vendor });
  const headers = ["Content-Type: application/json", ...(hasKey ? ["Authorization: Bearer $AUDIENCE_KEY"] : [])];
  const options = headers.map((header) => `-H ${header.includes("$") ? `"${header}"` : quoteForShell(header)}`);
  return ["curl", "-sS", quoteForShell(url), ...options, "--data-binary", quoteForShell(body)].join(" ");
}

function quoteForShell(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
