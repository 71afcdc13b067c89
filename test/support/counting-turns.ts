/** Counts turns of the event loop while work goes on. @returns how many there were */
export async function countingTurns(work: (now: () => number) => Promise<unknown>): Promise<number> {
  let turns = 0;
  let done = false;
  const next = (): void => {
    turns += 1;
    if (!done) setImmediate(next);
  };
  setImmediate(next);
  await work(() => turns);
  done = true;
  return turns;
}
