/** A connection that ended sooner counts as a failed attempt. In ms. */
export const LASTED = 5000;

/**
 * How long to wait before an attempt, in ms: `base + random(0, base * 2 ** attempt)`, at most `cap`; attempts count
 * from 0.
 *
 * The cap limits the range that is drawn from, not the number drawn: cut off afterwards, late attempts would all wait
 * for exactly the cap. Full jitter over a floor, so that the clients of a server that went away neither return in the
 * same instant nor hammer it.
 */
export const backoff = (attempt: number, base: number, cap: number): number => {
  const floor = Math.min(base, cap);
  return floor + Math.random() * Math.min(cap - floor, base * 2 ** attempt);
};
