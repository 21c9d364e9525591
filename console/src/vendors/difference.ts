/** Lines of two texts that are not in the other one, by their longest common subsequence. */

export interface Line {
  readonly text: string;
  readonly isCommon: boolean;
}

const MAX_LINES = 1_000; // of a text that is compared; the time grows with the product of both

/** Return the lines of both texts, each marked by whether the other one has it in the same order; null if they are too long. */
export function compareLines(left: string, right: string): readonly [Line[], Line[]] | null {
  const [ours, theirs] = [left.split("\n"), right.split("\n")];
  if (ours.length > MAX_LINES || theirs.length > MAX_LINES) return null;
  const lengths = commonLengths(ours, theirs);
  const [marked, others]: [Line[], Line[]] = [[], []];
  let [at, other] = [0, 0];
  while (at < ours.length || other < theirs.length) {
    const isCommon = at < ours.length && other < theirs.length && ours[at] === theirs[other];
    const takesOurs = at < ours.length && (other >= theirs.length || lengthAt(lengths, at + 1, other) >= lengthAt(lengths, at, other + 1));
    if (isCommon || takesOurs) marked.push({ text: ours[at++] ?? "", isCommon });
    if (isCommon || !takesOurs) others.push({ text: theirs[other++] ?? "", isCommon });
  }
  return [marked, others];
}

/** Return the length of the longest common subsequence of what follows each pair of lines. */
function commonLengths(ours: readonly string[], theirs: readonly string[]): Uint16Array[] {
  const lengths = Array.from({ length: ours.length + 1 }, () => new Uint16Array(theirs.length + 1));
  for (let at = ours.length - 1; at >= 0; at--) {
    for (let other = theirs.length - 1; other >= 0; other--) {
      const isSame = ours[at] === theirs[other];
      const longest = isSame ? lengthAt(lengths, at + 1, other + 1) + 1 : Math.max(lengthAt(lengths, at + 1, other), lengthAt(lengths, at, other + 1));
      (lengths[at] as Uint16Array)[other] = longest;
    }
  }
  return lengths;
}

function lengthAt(lengths: readonly Uint16Array[], at: number, other: number): number {
  return lengths[at]?.[other] ?? 0;
}
