/** The message that is being written. It is kept while one looks at other views, and is in no link. */

import { signal } from "@preact/signals";
import type { Message } from "./run_forms";

/** Message as JSON, as it was typed: the fields of the form are parts of it. */
export const messageText = signal('{\n  "title": "",\n  "body": ""\n}');

/** Return the message; null if the text is not a JSON object. */
export function readMessage(text: string): Message | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Message) : null;
  } catch {
    return null;
  }
}

/** Return the text of the message with another value of a field; an empty one removes it, except title and body. */
export function withField(text: string, field: string, value: string): string {
  const message: Record<string, unknown> = { ...readMessage(text), [field]: value };
  if (!value && field !== "title" && field !== "body") delete message[field];
  return JSON.stringify(message, null, 2);
}
