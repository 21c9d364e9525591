/** Wait until something that changes with every key has settled. */

import { useEffect, useState } from "preact/hooks";

/** Return *value* as it was when it last stayed the same for *delay* milliseconds. */
export function useSettled<Value>(value: Value, delay: number): Value {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), delay);
    return () => clearTimeout(timer);
  }, [value]);
  return settled;
}
