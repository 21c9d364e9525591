/** A number that grows every so often, for what is asked for again and again. */

import { useEffect, useState } from "preact/hooks";

/** Return a number that grows every *milliseconds*, as long as the page is seen. */
export function useTicks(milliseconds: number): number {
  const [ticks, setTicks] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => !document.hidden && setTicks((count) => count + 1), milliseconds);
    return () => clearInterval(timer);
  }, [milliseconds]);
  return ticks;
}
