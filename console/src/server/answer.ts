/** Keep the answer to a question that changes: the last answer stays until the next one is there. */

import { useEffect, useRef, useState } from "preact/hooks";
import { type Asking, Refusal, ask, isOnline } from "./client";

const SLOW_AFTER = 300;

export interface Answer<Form> {
  /** Last answer; null before the first one. */
  readonly form: Form | null;
  /** Why the question as it is now has no answer. */
  readonly refusal: Refusal | null;
  /** Whether an answer is under way. */
  readonly isPending: boolean;
  /** Whether it has been for so long that one should say so. */
  readonly isSlow: boolean;
}

const NOTHING = { form: null, refusal: null, isPending: false, isSlow: false };

/** Ask at *path* whenever it, *body* or *again* changes. A path of null asks nothing. */
export function useAnswer<Form>(path: string | null, body?: unknown, again: unknown = 0): Answer<Form> {
  const [answer, setAnswer] = useState<Answer<Form>>(NOTHING);
  const controller = useRef<AbortController>(null);
  useEffect(() => {
    if (path === null) return;
    const abort = (controller.current = new AbortController());
    setAnswer((last) => ({ ...last, isPending: true }));
    const timer = setTimeout(() => setAnswer((last) => ({ ...last, isSlow: true })), SLOW_AFTER);
    const asking: Asking = body === undefined ? { signal: abort.signal } : { body, signal: abort.signal };
    ask<Form>(path, asking)
      .then((reply) => setAnswer({ ...NOTHING, form: reply.form }))
      .catch((error: unknown) => {
        if (abort.signal.aborted) return;
        const refusal = error instanceof Refusal ? error : null;
        setAnswer((last) => ({ ...NOTHING, form: last.form, refusal }));
      })
      .finally(() => clearTimeout(timer));
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [path, JSON.stringify(body), again, isOnline.value]);
  return answer;
}
