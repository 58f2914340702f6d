/** Which known word a person meant. */

/** A word more changes away than this is another word. */
const DISTANCE_MAX = 2;

/** The nearest of `words`, or the one that ends in the same key; undefined when none is near. */
export function closest(word: string, words: readonly string[]): string | undefined {
  const last = (text: string) => (text.split('.').at(-1) ?? '').toLowerCase();
  const sameKey = words.find((other) => last(other) === last(word));
  if (sameKey !== undefined) return sameKey;
  const near = words
    .map((other) => ({ other, away: distance(last(word), last(other)) }))
    .filter(({ away }) => away <= DISTANCE_MAX && away < last(word).length / 2 + 1);
  return near.sort((a, b) => a.away - b.away)[0]?.other;
}

/** Levenshtein's: insertions, deletions and replacements from one text to the other. */
function distance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, n) => n);
  for (let i = 1; i <= from.length; i++) {
    const next = [i];
    for (let j = 1; j <= to.length; j++) {
      const swap = (row[j - 1] ?? 0) + (from[i - 1] === to[j - 1] ? 0 : 1);
      next.push(Math.min(swap, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[to.length] ?? 0;
}
