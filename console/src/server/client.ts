/** Ask the service. Every answer is JSON, and every refusal is problem+json. */

import { signal } from "@preact/signals";
import type { Problem } from "./forms";
import { key } from "./key";

/** Whether the last call reached the service. */
export const isOnline = signal(true);

/** Whether the service wants a key, or another one. */
export const needsKey = signal(false);

export interface Reply<Form> {
  readonly form: Form;
  /** Milliseconds that the service took, or null if it does not say. */
  readonly milliseconds: number | null;
  readonly headers: Headers;
}

/** Refusal of the service: a status, and what is wrong with the question. */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly problem: Problem,
    readonly problems: readonly Problem[],
  ) {
    super(problem.message);
  }
}

/** The service could not be reached. */
export class Unreachable extends Error {}

export interface Asking {
  readonly method?: "GET" | "POST" | "PUT" | "DELETE";
  readonly body?: unknown;
  readonly headers?: Record<string, string>;
  readonly signal?: AbortSignal;
}

/** Return what the service answers at *path*, which is relative to the page: `v1/indexes`. */
export async function ask<Form>(path: string, asking: Asking = {}): Promise<Reply<Form>> {
  const response = await send(path, asking);
  isOnline.value = true;
  if (response.ok) {
    needsKey.value = false;
    return { form: await readJson<Form>(response), milliseconds: readTiming(response), headers: response.headers };
  }
  const refusal = await readRefusal(response);
  if (response.status === 401) needsKey.value = true;
  throw refusal;
}

/** Return the path of something of an index. */
export function indexPath(index: string, ...parts: readonly string[]): string {
  return ["v1/indexes", ...[index, ...parts].map(encodeURIComponent)].join("/");
}

async function send(path: string, asking: Asking): Promise<Response> {
  const headers: Record<string, string> = { Accept: "application/json", ...asking.headers };
  if (asking.body !== undefined) headers["Content-Type"] = "application/json";
  if (key.value) headers["Authorization"] = `Bearer ${key.value}`;
  try {
    return await fetch(path, {
      method: asking.method ?? (asking.body === undefined ? "GET" : "POST"),
      headers,
      body: asking.body === undefined ? null : JSON.stringify(asking.body),
      signal: asking.signal ?? null,
      credentials: "omit",
      cache: "no-store",
    });
  } catch (error) {
    if (asking.signal?.aborted) throw error;
    isOnline.value = false;
    throw new Unreachable(String(error));
  }
}

async function readJson<Form>(response: Response): Promise<Form> {
  return response.status === 204 ? (null as Form) : ((await response.json()) as Form);
}

async function readRefusal(response: Response): Promise<Refusal> {
  const text = await response.text();
  try {
    const { code, detail, title, span, hint, problems } = JSON.parse(text);
    const problem: Problem = { code, message: detail ?? title, span, hint };
    return new Refusal(response.status, problem, problems?.length ? problems : [problem]);
  } catch {
    const problem = { code: `http-${response.status}`, message: text.slice(0, 200), span: null, hint: null };
    return new Refusal(response.status, problem, [problem]); // a proxy's page, not the service's answer
  }
}

function readTiming(response: Response): number | null {
  const duration = /\bdur=([\d.]+)/.exec(response.headers.get("Server-Timing") ?? "")?.[1];
  return duration === undefined ? null : Number(duration);
}
