/** The least that a token is taken to be good for, which the server has just accepted: clocks differ. */
const LEAST_S = 2;

/** For how many seconds a token (JWT) that was just taken is good, as far as can be told; else NaN. */
export const secondsLeft = (token: string | undefined): number => {
  try {
    const { exp, iat = 0 } = JSON.parse(
      atob(((token as string).split(".")[1] as string).replace(/-/g, "+").replace(/_/g, "/")),
    );
    // It can't be good for longer than it was made for, whatever this device takes for the time.
    return Math.max(LEAST_S, Math.min(exp - Date.now() / 1000, exp - iat));
  } catch {
    return NaN;
  }
};
